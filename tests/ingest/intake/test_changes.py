"""A version against the one before: what changed is reported, what breaks a promise fails, as the recipe says."""

from __future__ import annotations

import pytest

from tidemill.errors import InvalidInput

RECIPE = {"until": "prepared", "task": "tabular-classification"}
LABEL = {"label": "label"}


def table(**columns: list[str]) -> dict[str, bytes]:
    rows = zip(*columns.values(), ["yes", "no"] * (len(next(iter(columns.values()))) // 2), strict=True)
    return {"t.csv": "\n".join([",".join([*columns, "label"]), *map(",".join, rows), ""]).encode()}


NUMBERS = [str(number) for number in range(20)]
WORDS = ["red", "green"] * 10
BEFORE = table(size=NUMBERS, colour=WORDS)


@pytest.fixture
def before(ingest_files):
    return ingest_files(BEFORE, LABEL, recipe=RECIPE)


def changes(read) -> list[tuple[str, str, str | None, str | None, bool]]:
    return [(one.change, one.column, one.before, one.after, one.breaking) for one in read.report.schema_changes]


def test_the_same_columns_are_no_change(ingest_files, before) -> None:
    read = ingest_files(table(colour=WORDS, size=NUMBERS), LABEL, previous=before, recipe=RECIPE)
    assert changes(read) == []


def test_a_new_column_is_reported_and_fails_only_on_demand(ingest_files, before) -> None:
    files = table(size=NUMBERS, colour=WORDS, weight=["1.5", "2"] * 10)
    read = ingest_files(files, LABEL, previous=before, recipe=RECIPE)
    assert changes(read) == [("added", "weight", None, "number", False)]
    with pytest.raises(InvalidInput) as error:
        ingest_files(files, {**LABEL, "expected": {"on_change": "fail"}}, previous=before, recipe=RECIPE)
    assert str(error.value) == (
        "t.csv: changed against the dataset's last version: column 'weight' (number) is new; correct the dataset, or "
        "set data.expected.on_change: report"
    )


def test_a_column_that_goes_is_breaking(ingest_files, before) -> None:
    with pytest.raises(InvalidInput) as error:
        ingest_files(table(size=NUMBERS), LABEL, previous=before, recipe=RECIPE)
    assert str(error.value) == (
        "t.csv: breaking change against the dataset's last version: column 'colour' (category) is gone; correct the "
        "dataset, or set data.expected.allow_breaking: true"
    )
    allowed = {**LABEL, "expected": {"allow_breaking": True}}
    read = ingest_files(table(size=NUMBERS), allowed, previous=before, recipe=RECIPE)
    assert changes(read) == [("removed", "colour", "category", None, True)]


@pytest.mark.parametrize(
    ("now", "kind"),
    [(["1.5", *NUMBERS[1:]], "number"), (["many", *NUMBERS[1:]], "text"), (["2026-01-31"] * 20, "date")],
)
def test_a_type_that_gets_wider_is_breaking(ingest_files, before, now: list[str], kind: str) -> None:
    with pytest.raises(InvalidInput, match=f"column 'size' was integer and is {kind}"):
        ingest_files(table(size=now, colour=WORDS), LABEL, previous=before, recipe=RECIPE)


@pytest.mark.parametrize(("now", "kind"), [(["1", "2"] * 10, "integer"), (["?"] * 20, "empty")])
def test_a_type_that_gets_narrower_is_reported(ingest_files, now: list[str], kind: str) -> None:
    before = ingest_files(table(size=["1.5", "2"] * 10, colour=WORDS), LABEL, recipe=RECIPE)
    read = ingest_files(table(size=now, colour=WORDS), LABEL, previous=before, recipe=RECIPE)
    assert changes(read) == [("kind", "size", "number", kind, False)]


def test_texts_and_categories_are_one_type(ingest_files, before) -> None:
    files = table(size=NUMBERS, colour=[f"colour {number}" for number in range(20)])
    read = ingest_files(files, {**LABEL, "expected": {"on_change": "fail"}}, previous=before, recipe=RECIPE)
    assert read.kind("colour") == "text"
    assert changes(read) == []


def test_another_label_is_reported(ingest_files, before) -> None:
    read = ingest_files(BEFORE, {"label": "colour"}, previous=before, recipe=RECIPE)
    assert changes(read) == [("role", "colour", "label", "colour", False)]


def test_a_column_may_keep_its_promise_by_the_recipe(ingest_files) -> None:
    """A postcode that happened to be digits alone would get wider with the first letter."""
    data = {**LABEL, "expected": {"columns": {"code": "category"}}}
    before = ingest_files(table(code=["10115", "20095"] * 10), data, recipe=RECIPE)
    read = ingest_files(table(code=["EC1A", "20095"] * 10), data, previous=before, recipe=RECIPE)
    assert changes(read) == []


def test_the_version_before_leaves_no_trace_in_the_dataset(ingest_files, before) -> None:
    files = table(size=NUMBERS, colour=WORDS, weight=["1.5", "2"] * 10)
    alone = ingest_files(files, LABEL, recipe=RECIPE)
    after = ingest_files(files, LABEL, previous=before, recipe=RECIPE)
    assert after.digests == alone.digests
    assert after.recipe == alone.recipe
    assert after.report != alone.report

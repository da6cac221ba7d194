"""Rows that cannot be read fail the run, go, or are put aside; they are counted and shown in any case."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from services.ingest.intake.bad_rows import BadRowKeeper
from tidemill.errors import InvalidInput

FILE = Path("/data/people.csv")
EXPECTED = {"expected": {"columns": {"age": "integer"}}, "label": "label"}
RECIPE = {"until": "prepared", "task": "tabular-classification"}


def people(*ages: str) -> dict[str, bytes]:
    rows = [f"{age},{name},{'yes' if number % 2 else 'no'}" for number, (age, name) in enumerate(ages_named(ages))]
    return {"people.csv": "\n".join(["age,name,label", *rows, ""]).encode()}


def ages_named(ages: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(age, f"name {number}") for number, age in enumerate(ages)]


def test_by_default_a_bad_row_fails_the_run_with_its_place_and_the_way_on(ingest_files) -> None:
    with pytest.raises(InvalidInput) as error:
        ingest_files(people("31", "old", "52"), EXPECTED, recipe=RECIPE)
    assert str(error.value) == (
        "people.csv, row 2, column 'age': 'old' is not an integer; correct the value, or the type in "
        "data.expected.columns; or set data.on_bad_row: quarantine (or drop), which leaves such rows out"
    )


def test_dropped_rows_are_counted_by_reason_with_examples(ingest_files) -> None:
    read = ingest_files(people("31", "old", "52", "", "12.5", "7"), {**EXPECTED, "on_bad_row": "drop"}, recipe=RECIPE)
    assert [row["age"] for row in read.rows()] == ["31", "52", "", "7"]
    assert (read.result.rows, read.result.bad_rows) == (4, 2)
    (kind,) = read.report.bad_rows.kinds
    assert kind.rows == 2
    assert [(example.row, example.content) for example in kind.examples] == [
        (2, '{"age": "old", "name": "name 1", "label": "yes"}'),
        (5, '{"age": "12.5", "name": "name 4", "label": "no"}'),
    ]
    assert (read.report.files[0].rows, read.report.files[0].bad_rows) == (4, 2)
    assert not (read.folder / "quarantine").exists()


def test_quarantined_rows_are_kept_with_file_number_reason_and_content(ingest_files) -> None:
    files = people("31", "老", "52", "8")
    read = ingest_files(files, {**EXPECTED, "on_bad_row": "quarantine"}, recipe=RECIPE)
    assert read.quarantined == [
        {
            "file": "people.csv",
            "row": 2,
            "reason": "people.csv, row 2, column 'age': '老' is not an integer; correct the value, or the type in "
            "data.expected.columns",
            "content": '{"age": "老", "name": "name 1", "label": "yes"}',
        }
    ]


def test_without_bad_rows_there_is_no_quarantine(ingest_files) -> None:
    read = ingest_files(people("31", "52"), {**EXPECTED, "on_bad_row": "quarantine"}, recipe=RECIPE)
    assert not (read.folder / "quarantine").exists()
    assert (read.report.bad_rows.rows, read.report.bad_rows.kinds) == (0, [])


def test_good_rows_alone_decide_the_dataset(ingest_files) -> None:
    policy = {**EXPECTED, "on_bad_row": "drop"}
    assert ingest_files(people("1", "2", "3", "x"), policy, recipe=RECIPE).rows() == (
        ingest_files(people("1", "2", "3"), policy, recipe=RECIPE).rows()
    )


@pytest.mark.parametrize("policy", ["drop", "quarantine"])
def test_more_bad_rows_than_good_ones_fail_the_run_whatever_the_policy(ingest_files, policy: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"3 of 5 rows are bad, more than half; most often \(3 rows\): people.csv, row"
    ):
        ingest_files(people("1", "2", "a", "b", "c"), {**EXPECTED, "on_bad_row": policy}, recipe=RECIPE)
    assert ingest_files(people("1", "2", "a", "b"), {**EXPECTED, "on_bad_row": policy}, recipe=RECIPE).result.rows == 2


def test_a_part_without_a_good_row_fails_the_run(ingest_files) -> None:
    files = {"train.csv": people(*["1"] * 50)["people.csv"], "test.csv": people("x", "y")["people.csv"]}
    with pytest.raises(InvalidInput, match=r"test.csv: every row is bad; most often \(2 rows\): test.csv, row 1"):
        ingest_files(files, {**EXPECTED, "on_bad_row": "drop"}, recipe=RECIPE)


def test_reasons_that_differ_in_numbers_and_values_are_one_kind(tmp_path: Path) -> None:
    with BadRowKeeper("drop", tmp_path) as bad:
        for row in range(1, 101):
            bad.add(FILE, row, f"line {row + 1}: {row} fields, but 3 are expected (a, b)", "x" * 1000)
        bad.add(FILE, 200, "line 201, column 'a': 'ä' is not valid", "y")
    first, second = bad.figures().kinds
    assert (first.rows, len(first.examples), second.rows) == (100, 5, 1)
    assert first.reason == "line …: … fields, but … are expected (a, b)"
    assert first.examples[0].content == "x" * 199 + "…"


def test_many_different_reasons_stay_bounded(tmp_path: Path) -> None:
    with BadRowKeeper("drop", tmp_path) as bad:
        for row in range(500):
            bad.add(FILE, row + 1, f"reason {chr(0x4E00 + row)}", "")
    figures = bad.figures()
    assert len(figures.kinds) <= 51
    assert sum(kind.rows for kind in figures.kinds) == figures.rows == 500


def test_the_quarantine_keeps_whole_contents_and_many_rows(tmp_path: Path) -> None:
    with BadRowKeeper("quarantine", tmp_path) as bad:
        for row in range(1, 25_001):
            bad.add(FILE, row, f"line {row}: bad", "长" * 500 if row == 7 else "\ud800 broken")
    rows = pq.read_table(tmp_path / "rows.parquet")
    assert rows.num_rows == 25_000
    assert rows["content"][6].as_py() == "长" * 500
    assert rows["content"][0].as_py() == "? broken"


def test_where_personal_data_is_protected_no_value_is_shown_but_in_the_quarantine(ingest_files) -> None:
    private = RECIPE | {"privacy": {"columns": {"name": "mask"}}}
    with pytest.raises(InvalidInput, match=r"people.csv, row 2, column 'age': '…' is not an integer"):
        ingest_files(people("31", "old"), EXPECTED, recipe=private)
    with pytest.raises(InvalidInput, match=r"most often \(2 rows\): people.csv, row 1, column 'age': '…' is not"):
        ingest_files(people("a", "b"), {**EXPECTED, "on_bad_row": "drop"}, recipe=private)
    read = ingest_files(people("31", "old", "52", "8"), {**EXPECTED, "on_bad_row": "quarantine"}, recipe=private)
    (kind,) = read.report.bad_rows.kinds
    assert [(one.row, one.content, "'old'" in one.reason) for one in kind.examples] == [(2, "", False)]
    assert "'old'" in read.quarantined[0]["reason"]


def test_good_rows_have_their_numbers_in_the_file(tmp_path: Path) -> None:
    """A reader may look ahead: bad rows come before the batch with good ones that stand in front of them."""
    bad = BadRowKeeper("drop", tmp_path)
    for row in (2, 3, 9):
        bad.add(FILE, row, "bad", "")
    assert bad.numbers_of(FILE, 3).tolist() == [1, 4, 5]
    bad.add(FILE, 4, "its value is bad", "")
    assert bad.numbers_of(FILE, 4).tolist() == [6, 7, 8, 10]
    assert bad.numbers_of(FILE, 0).tolist() == []
    assert bad.numbers_of(FILE, 2).tolist() == [11, 12]
    assert bad.numbers_of(Path("/data/other.csv"), 1).tolist() == [1]
    bad.begin(FILE)
    assert bad.numbers_of(FILE, 2).tolist() == [1, 2]

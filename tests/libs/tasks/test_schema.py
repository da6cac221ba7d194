"""Which columns hold the text and the label."""

from __future__ import annotations

import pytest

from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput
from tidemill.tasks import ColumnProfile, resolve_task
from tidemill.tasks.text_classification.schema import check_labels


def column(name: str, type: str = "text", distinct: int | None = 90, length: float = 40, **more) -> ColumnProfile:
    figures = {"min_length": 1, "mean_length": length, "max_length": int(length * 2), "missing": 0, **more}
    return ColumnProfile(name=name, type=type, rows=100, distinct=distinct, **figures)


TEXT, LABEL = column("words"), column("kind", distinct=3, length=5)


@pytest.mark.parametrize(
    ("columns", "data", "found"),
    [
        ([TEXT, LABEL], {}, ("words", "kind")),
        ([LABEL, TEXT], {}, ("words", "kind")),
        # Names decide before content does.
        ([column("label", distinct=40), column("text", length=5), column("notes")], {}, ("text", "label")),
        ([column("评论", length=12), column("类别", distinct=2, length=2), LABEL], {}, ("评论", "类别")),
        # Identifiers, constants and numbers are neither.
        ([column("id", "integer", 100), TEXT, LABEL, column("language", distinct=1, length=2)], {}, ("words", "kind")),
        ([column("key", distinct=100, min_length=36, length=36, max_length=36), TEXT, LABEL], {}, ("words", "kind")),
        # What the recipe names is taken as it is.
        ([TEXT, column("stars", "integer", 5, 1), LABEL], {"label": "stars", "text": "words"}, ("words", "stars")),
        ([TEXT, LABEL, column("mood", distinct=4, length=6)], {"label": "mood"}, ("words", "mood")),
    ],
)
def test_columns_are_found(columns: list[ColumnProfile], data: dict[str, str], found: tuple[str, str]) -> None:
    task, resolved = resolve_task("auto", columns, Data(**data), "x.csv")
    assert task == "text-classification"
    assert (resolved.text, resolved.label) == found


@pytest.mark.parametrize(
    ("columns", "data", "says"),
    [
        (
            [TEXT, LABEL, column("mood", distinct=2, length=4)],
            {},
            "several columns could be the label ('kind', 'mood')",
        ),
        ([TEXT, column("more", length=35), LABEL], {}, "several columns could be the text ('words', 'more')"),
        ([TEXT, column("more")], {}, "no column looks like a label"),
        ([TEXT], {}, "has one column, 'words'"),
        (
            [TEXT, LABEL],
            {"text": "Word"},
            "no column 'Word' (data.text); its columns are 'words', 'kind'; did you mean",
        ),
        ([TEXT, LABEL], {"text": "kind", "label": "kind"}, "for both data.text and data.label"),
        ([column("text", "empty", 0), LABEL], {}, "column 'text' (data.text): every value is missing"),
        ([column("text", "other", None), LABEL], {}, "has to be a column of plain values"),
    ],
)
def test_what_is_wrong_is_said(columns: list[ColumnProfile], data: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        resolve_task("text-classification", columns, Data(**data), "x.csv")
    assert says in str(error.value)


def test_labels_need_two_classes_and_not_thousands() -> None:
    check_labels({"a": 1, "b": 1}, "kind", "x.csv")
    for counts, says in (
        ({"a": 9}, "every row has the label 'a'"),
        ({}, "no row has a label"),
        (None, "more than 10,000"),
    ):
        with pytest.raises(InvalidInput, match=says):
            check_labels(counts, "kind", "x.csv")

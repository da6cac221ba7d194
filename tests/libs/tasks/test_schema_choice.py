"""Which task columns are for when the recipe does not say."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.libs.tasks.test_schema_contract import NUMBERS, column, media
from tidemill.contracts.data import Data
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput
from tidemill.tasks import ColumnProfile, ColumnType, known_column_names, resolve_task, task_schema

LABEL = column("label", distinct=2, length=4)
ID = column("id", "integer", 1000, 4)


@pytest.mark.parametrize(
    ("columns", "data", "task"),
    [
        ([column("source"), column("target")], {}, "translation"),
        ([column("src"), column("tgt")], {}, "translation"),
        ([column("a"), column("b")], {"source": "a"}, "translation"),
        ([column("zh-CN", length=9), column("en_US")], {}, "translation"),
        ([column("原文"), column("译文")], {}, "translation"),
        # A source can be where a row comes from, and a target a label.
        ([column("text"), column("source", distinct=3), column("target", distinct=2)], {}, "text-classification"),
        ([*NUMBERS, column("target", "integer", 2, 1)], {}, "tabular-classification"),
        ([column("it"), column("label", distinct=2, length=2)], {}, "text-classification"),
        ([column("words")], {"format": "lines"}, "language-modelling"),
        ([column("words")], {"text": "words"}, "language-modelling"),
        ([column("文本")], {}, "language-modelling"),
        # Words that are named, or read like texts, are classified as texts, whatever numbers are beside them.
        ([column("review"), column("stars", "integer", 5, 1), LABEL], {}, "text-classification"),
        ([ID, column("words"), LABEL, column("likes", "integer", 90, 2)], {}, "text-classification"),
        ([column("words", length=8), LABEL], {}, "text-classification"),
        ([column("评论", length=6), LABEL, *NUMBERS], {}, "text-classification"),
        # Numbers and categories.
        ([ID, *NUMBERS, LABEL], {}, "tabular-classification"),
        ([*NUMBERS, column("column_4", distinct=2)], {"label": "column_4"}, "tabular-classification"),
        ([*NUMBERS, column("y", "integer", 20, 2)], {}, "tabular-classification"),
        ([*NUMBERS, column("y", "integer", 600, 5)], {}, "tabular-regression"),
        ([*NUMBERS, column("y", "number", None, 5)], {}, "tabular-regression"),
        ([column("x", "number", 700, 4), column("label", distinct=2)], {}, "tabular-classification"),
        # Images and recordings.
        ([*media("image"), column("breed", distinct=9, length=5)], {}, "image-classification"),
        ([*media("image"), column("objects", "nested", None, 0, fields=("x", "y")), LABEL], {}, "image-classification"),
    ],
)  # fmt: skip
def test_the_task_is_chosen(columns: list[ColumnProfile], data: dict[str, str], task: str) -> None:
    assert resolve_task("auto", columns, Data(**data), "x.csv")[0] == task


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        # A name in a table of passengers, or texts with figures beside them?
        (
            [*NUMBERS, column("sex", distinct=2, length=5), column("name", length=27), LABEL],
            "x.csv could be a dataset for text-classification or for tabular-classification; say which in the recipe:  "
            "task: text-classification, data: {label: <column>}",
        ),
        # Years, or classes?
        ([*NUMBERS, column("y", "integer", 40, 4)], "for tabular-classification or for tabular-regression"),
        (
            [*NUMBERS, column("height", "number", 400, 4)],
            "it is not clear which column is to be predicted; its columns are 'age', 'weight', 'ward', 'height'; name "
            "it in the recipe:  task: tabular-classification, data: {label: <column>}  (or task: tabular-regression",
        ),
        ([column("words")], "has one column, 'words'; text classification needs one with text and one with the label"),
        ([column("words")], "set task: language-modelling"),
        (media("image"), 'data: {path_pattern: "{label}_{_}"}'),
        (media("audio"), "data: {annotations: <file>}"),
        (
            [*media("audio"), column("who", distinct=3, length=3), column("where", distinct=3, length=3)],
            "several columns could be the label ('who', 'where'); say which in the recipe:  "
            "task: audio-classification, data: {label: <column>}",
        ),
    ],
)
def test_what_is_not_clear_is_asked_with_the_lines_to_write(columns: list[ColumnProfile], says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        resolve_task("auto", columns, Data(), "x.csv")
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("task", "columns", "data", "says"),
    [
        ("tabular-regression", [*NUMBERS, LABEL], {}, "regression predicts a number"),
        ("tabular-regression", [*NUMBERS, column("y", "number", 1, 3)], {}, "every row has the same number"),
        ("tabular-classification", NUMBERS, {}, "task: tabular-classification, data: {label: <column>}"),
        ("tabular-classification", [LABEL, column("x", "nested", None)], {}, "no column to predict 'label' from"),
        ("tabular-classification", [*NUMBERS, column("y", "empty", 0)], {}, "every value is missing"),
        ("translation", [column("a"), column("b"), column("c")], {}, "data: {source: <column>, target: <column>}"),
        ("translation", [column("a"), column("b")], {"source": "a", "target": "a"}, "for both data.source and"),
        ("translation", [column("a"), column("n", "integer", 9)], {"source": "a", "target": "n"}, "not integer values"),
        ("language-modelling", [column("a"), column("b")], {}, "several columns could be the text"),
        ("language-modelling", [column("n", "integer", 9)], {"text": "n"}, "has to be a column of texts, not integer"),
        (
            "question-answering",
            [column("question"), column("context"), column("answers", "nested", None, fields=("a", "b"))],
            {},
            "answers have to be structs of the lists text and answer_start",
        ),
        ("question-answering", [column("question"), column("context")], {}, "not clear which column is the answers"),
        ("object-detection", media("image"), {}, "no column 'objects'"),
        ("object-detection", NUMBERS, {}, "no column 'image' with images"),
        ("image-classification", [*media("audio"), LABEL], {}, "no column 'image' with images"),
        ("audio-classification", [*media("image"), LABEL], {}, "no column 'audio' with recordings"),
    ],
)
def test_a_task_that_the_columns_are_not_for_is_refused(
    task: str, columns: list[ColumnProfile], data: dict[str, str], says: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        resolve_task(task, columns, Data(**data), "x.csv")
    assert says in str(error.value)


def test_two_columns_of_texts_are_a_translation_when_the_recipe_says_so() -> None:
    _, data = resolve_task("translation", [ID, column("first"), column("second", length=9)], Data(), "x.tsv")
    assert (data.source, data.target) == ("first", "second")
    _, data = resolve_task("translation", [column("first"), column("second")], Data(source="second"), "x.tsv")
    assert (data.source, data.target) == ("second", "first")


def test_the_group_of_a_split_is_no_feature() -> None:
    types = {column.name: column.type for column in [*NUMBERS, LABEL]}
    data = Data(label="label", split={"method": "group", "group": "ward"})
    assert task_schema("tabular-classification").features(types, data) == ("age", "weight")


def test_column_types_are_the_kinds_of_a_dataset_and_one_more() -> None:
    assert set(get_args(ColumnType)) == {*get_args(ColumnKind), "other"}


def test_usual_names_are_no_words_that_labels_are_made_of() -> None:
    assert not known_column_names() & {"en", "zh", "de", "no", "default", "image", "audio", "objects"}

"""The steps as a whole: which there are, in which order, and which recipes are refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pyarrow as pa
import pytest

from services.preprocess.rules import fitted_steps, row_steps
from tidemill.contracts.data import Data
from tidemill.datasets import Column, DatasetSchema
from tidemill.errors import InvalidInput

DATA = Path(os.environ.get("TIDEMILL_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
TABLE = DatasetSchema(
    task="tabular-classification", roles={"label": "class"},
    columns=[
        Column(name="age", kind="integer", strings=True), Column(name="workclass", kind="category", strings=True),
        Column(name="class", kind="category", strings=True),
    ],
)  # fmt: skip
TEXT = DatasetSchema(
    task="text-classification", roles={"text": "text", "label": "label"},
    columns=[Column(name="text", kind="text", strings=True), Column(name="label", kind="category", strings=True)],
)  # fmt: skip
EVERYTHING = {
    "text_rules": {
        "strip_html": True,
        "lowercase": True,
        "languages": ["en"],
        "min_characters": 2,
        "remove_stop_words": ["en"],
    },
    "bounds": {"label": {"allowed": ["a"]}},
}


def names(data: dict[str, object], schema: DatasetSchema, labels=None) -> list[str]:
    return [step.name for step in row_steps(Data.model_validate(data), schema, labels)]


def test_a_plain_recipe_has_the_steps_that_have_something_to_do() -> None:
    cleaning = ["strip spaces", "missing markers", "normalise text", "normalise labels", "drop empty rows"]
    assert names({}, TEXT) == cleaning
    assert names({}, TABLE) == [*cleaning[:2], "normalise labels", "coerce types", "drop empty rows"]


def test_html_goes_first_and_words_go_after_the_language_was_told() -> None:
    assert names(EVERYTHING, TEXT, {"train": {"a": 1}, "test": {"A": 1}}) == [
        "strip spaces", "missing markers", "strip HTML", "normalise text", "normalise labels", "unify labels", "bounds",
        "languages", "lower case", "remove stop words", "drop empty rows", "text length",
    ]  # fmt: skip


def test_every_step_says_what_it_does_in_words() -> None:
    steps = row_steps(Data.model_validate(EVERYTHING), TEXT)
    assert all(len(step.says.split()) >= 3 for step in steps)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"bounds": {"agee": {"minimum": 0}}},
            "data.bounds names the column 'agee'.*did you mean 'age'",
        ),
        ({"missing": {"columns": {"work": "drop"}}}, "data.missing.columns names the column 'work'.*'workclass'"),
        ({"types": {"columns": {"zzz": "date"}}}, "data.types.columns names.*its columns are age, workclass, class"),
        ({"outliers": {"columns": ["AGE "]}}, "data.outliers.columns"),
        ({"split": {"method": "group", "group": "agee"}}, "data.split.group"),
        ({"augment": {"text": {}}}, "data.augment.text needs a task with one text"),
        ({"augment": {"image": {"flip": True}}}, "data.augment.image needs images"),
    ],
)
def test_rules_that_nothing_can_be_done_with_are_refused(data: dict[str, object], message: str) -> None:
    for steps in (row_steps, fitted_steps):
        with pytest.raises(InvalidInput, match=message):
            steps(Data.model_validate(data), TABLE)


def test_features_are_for_tables() -> None:
    with pytest.raises(InvalidInput, match=r"data\.features is for tabular tasks, and this one is text-classification"):
        row_steps(Data.model_validate({"features": {"scale": "standard"}}), TEXT)


def test_expressions_can_be_sent_to_another_machine() -> None:
    columns = {column.name: column for column in TEXT.columns}
    for step in row_steps(Data.model_validate(EVERYTHING), TEXT, {"train": {"a": 1}, "test": {"A": 1}}):
        change = step.change(columns)
        for expression in (*change.columns.values(), *change.counts.values(), change.remove):
            assert expression is None or str(pickle.loads(pickle.dumps(expression))) == str(expression)
        columns = step.columns_after(columns)


@pytest.mark.skipif(not DATA.exists(), reason="no shared datasets")
def test_adult_income_comes_out_clean(prepare) -> None:
    names = ["age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship",
             "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"]  # fmt: skip
    folder = DATA / "tabular_adult_income"
    lines = {
        part: [
            line.split(",") for line in next(folder.glob(f"*{part}*")).read_text().splitlines() if line.count(",") == 14
        ]
        for part in ("train", "test")
    }
    rows = [*lines["train"][1:401], *lines["test"][1:401]]
    table = pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})
    integers = {"age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"}
    kinds = {name: "integer" if name in integers else "category" for name in names}
    labels = {part: {row[-1]: 1 for row in some} for part, some in lines.items()}
    outcome = prepare(table, kinds=kinds, roles={"label": "income"}, labels=labels)
    assert set(outcome["income"]) == {"<=50K", ">50K"}
    assert not any(value is not None and (value != value.strip() or value == "?") for value in outcome["workclass"])
    assert outcome["workclass"].count(None) == outcome.counts["missing markers"]["workclass"] > 0
    assert all(isinstance(value, int) for name in integers for value in outcome[name])
    assert outcome.removed == {}

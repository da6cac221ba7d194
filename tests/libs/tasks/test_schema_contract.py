"""What every task's schema does, whatever the task."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tidemill.contracts import parse_recipe
from tidemill.contracts.data import Data, TaskName
from tidemill.errors import InvalidInput
from tidemill.tasks import TASKS, TRAINED, ColumnProfile, check_labels, check_until, resolve_task, task_schema


def column(name: str, type: str = "text", distinct: int | None = 900, length: float = 40, **more) -> ColumnProfile:
    figures = {"min_length": 1, "mean_length": length, "max_length": int(length * 2), "missing": 0, **more}
    return ColumnProfile(name=name, type=type, rows=1000, distinct=distinct, **figures)


def media(kind: str) -> list[ColumnProfile]:
    measures = {"image": ("width", "height"), "audio": ("sample_rate", "seconds")}[kind]
    plain = [column("path", distinct=1000), *(column(name, "integer", 1, 3) for name in measures)]
    return [plain[0], column(kind, kind, None, 0), *plain[1:]]


NUMBERS = [column("age", "integer", 60, 2), column("weight", "number", 700, 4), column("ward", distinct=9, length=6)]


class TaskSchemaContract:
    """Subclasses say what a dataset of the task looks like."""

    task: ClassVar[TaskName]
    columns: ClassVar[list[ColumnProfile]]
    """Found without a word in the recipe."""
    roles: ClassVar[dict[str, str]]
    features: ClassVar[tuple[str, ...]]
    named: ClassVar[dict[str, str]]
    """A word of the recipe that names a column of another name."""

    def test_the_task_is_found_by_its_columns(self) -> None:
        assert resolve_task("auto", self.columns, Data(), "x")[0] == self.task

    def test_its_columns_are_found_and_have_roles(self) -> None:
        task, data = resolve_task(self.task, self.columns, Data(), "x")
        assert task == self.task
        assert task_schema(task).roles(data) == self.roles
        assert set(self.roles.values()) <= {column.name for column in self.columns}

    def test_finding_again_what_was_found_changes_nothing(self) -> None:
        _, data = resolve_task(self.task, self.columns, Data(), "x")
        assert resolve_task("auto", self.columns, data, "x") == (self.task, data)

    def test_its_features_are_columns_and_not_the_label(self) -> None:
        _, data = resolve_task(self.task, self.columns, Data(), "x")
        types = {column.name: column.type for column in self.columns}
        assert task_schema(self.task).features(types, data) == self.features
        assert data.label not in self.features

    def test_features_that_are_no_columns_any_more_are_left_out(self) -> None:
        _, data = resolve_task(self.task, self.columns, Data(), "x")
        assert task_schema(self.task).features({}, data) == ()

    def test_a_column_that_the_recipe_names_has_to_be_there(self) -> None:
        key = next(iter(self.named))
        with pytest.raises(InvalidInput, match=rf"no column 'gone' \(data\.{key}\)"):
            resolve_task(self.task, self.columns, Data(**{key: "gone"}), "x")

    def test_a_column_that_the_recipe_names_is_taken(self) -> None:
        _, data = resolve_task(self.task, self.columns, Data(**self.named), "x")
        assert self.named.items() <= task_schema(self.task).roles(data).items()

    def test_columns_of_nothing_that_it_needs_are_refused_with_what_to_write(self) -> None:
        with pytest.raises(InvalidInput) as error:
            resolve_task(self.task, [column("x1", "other", None), column("x2", "empty", 0)], Data(), "the.file")
        assert "the.file" in str(error.value)
        assert "data: {" in str(error.value) or "task" in str(error.value)

    def test_labels_are_checked_where_there_are_classes(self) -> None:
        check_labels(self.task, {"a": 5, "b": 5}, "label", "x")
        if task_schema(self.task).HAS_CLASSES:
            with pytest.raises(InvalidInput, match="every row has the label 'a'"):
                check_labels(self.task, {"a": 5}, "label", "x")
        else:
            check_labels(self.task, None, "label", "x")

    def test_usual_names_are_folded(self) -> None:
        names = task_schema(self.task).COLUMN_NAMES
        assert all(name == name.strip().casefold() for name in names)

    def test_a_run_ends_where_the_task_can_end(self) -> None:
        check_until(self.task, parse_recipe({"until": "prepared"}))
        if self.task in TRAINED:
            check_until(self.task, parse_recipe({}))
        else:
            with pytest.raises(InvalidInput, match=f"no model is trained for {self.task} yet; set until: prepared"):
                check_until(self.task, parse_recipe({}))


class TestTextClassification(TaskSchemaContract):
    task = "text-classification"
    columns: ClassVar = [column("message"), column("kind", distinct=3, length=5)]
    roles: ClassVar = {"text": "message", "label": "kind"}
    features = ("message",)
    named: ClassVar = {"label": "kind"}


class TestTabularClassification(TaskSchemaContract):
    task = "tabular-classification"
    columns: ClassVar = [*NUMBERS, column("class", distinct=2, length=4)]
    roles: ClassVar = {"label": "class"}
    features = ("age", "weight", "ward")
    named: ClassVar = {"label": "ward"}


class TestTabularRegression(TaskSchemaContract):
    task = "tabular-regression"
    columns: ClassVar = [*NUMBERS, column("price", "number", 800, 6)]
    roles: ClassVar = {"label": "price"}
    features = ("age", "weight", "ward")
    named: ClassVar = {"label": "weight"}


class TestImageClassification(TaskSchemaContract):
    task = "image-classification"
    columns: ClassVar = [*media("image"), column("label", distinct=2, length=4), column("camera", distinct=3, length=5)]
    roles: ClassVar = {"image": "image", "label": "label"}
    features = ("image",)
    named: ClassVar = {"label": "camera"}


class TestAudioClassification(TaskSchemaContract):
    task = "audio-classification"
    columns: ClassVar = [*media("audio"), column("label", "integer", 10, 1), column("speaker", distinct=6, length=5)]
    roles: ClassVar = {"audio": "audio", "label": "label"}
    features = ("audio",)
    named: ClassVar = {"label": "speaker"}


class TestQuestionAnswering(TaskSchemaContract):
    task = "question-answering"
    columns: ClassVar = [
        column("id", distinct=1000), column("title"), column("context", length=700), column("question", length=50),
        column("answers", "nested", None, 0, fields=("text", "answer_start")), column("asked"),
    ]  # fmt: skip
    roles: ClassVar = {"question": "question", "context": "context", "answers": "answers"}
    features = ("question", "context")
    named: ClassVar = {"question": "asked"}


class TestTranslation(TaskSchemaContract):
    task = "translation"
    columns: ClassVar = [column("en"), column("zh", length=9), column("note", distinct=4, length=5)]
    roles: ClassVar = {"source": "en", "target": "zh"}
    features = ("en",)
    named: ClassVar = {"source": "zh", "target": "en"}


class TestLanguageModelling(TaskSchemaContract):
    task = "language-modelling"
    columns: ClassVar = [column("text")]
    roles: ClassVar = {"text": "text"}
    features = ("text",)
    named: ClassVar = {"text": "text"}


class TestObjectDetection(TaskSchemaContract):
    task = "object-detection"
    columns: ClassVar = [*media("image"), column("objects", "nested", None, 0)]
    roles: ClassVar = {"image": "image", "objects": "objects"}
    features = ("image",)
    named: ClassVar = {"label": "gone"}

    def test_a_column_that_the_recipe_names_has_to_be_there(self) -> None:
        with pytest.raises(
            InvalidInput, match=r"takes the label of each box from the column 'objects'; remove data.label"
        ):
            resolve_task(self.task, self.columns, Data(label="gone"), "x")

    def test_a_column_that_the_recipe_names_is_taken(self) -> None:
        columns = [*self.columns, column("label", distinct=2, length=4)]
        assert resolve_task("auto", columns, Data(label="label"), "x")[0] == "image-classification"


def test_every_task_is_tested() -> None:
    tested = {contract.task for contract in TaskSchemaContract.__subclasses__()}
    assert tested == set(TASKS)

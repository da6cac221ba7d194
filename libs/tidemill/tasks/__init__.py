"""One folder per machine-learning task. This file finds a task's schema and describes columns to it.

A task's ``schema.py`` knows which columns the task needs, how to recognise them and when they cannot work. It sees
column profiles and label counts, never rows, and imports nothing heavy.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, cast

from tidemill.contracts import Recipe
from tidemill.contracts.data import TASK_NAMES, Data, TaskName
from tidemill.errors import InvalidInput
from tidemill.tasks.profile import ColumnProfile, ColumnType

__all__ = [
    "TASKS", "TRAINED", "ClassTaskSchema", "ColumnProfile", "ColumnType", "TaskSchema", "check_labels", "check_until",
    "known_column_names", "resolve_task", "task_schema",
]  # fmt: skip

TASKS: tuple[TaskName, ...] = TASK_NAMES

TRAINED: frozenset[TaskName] = frozenset(("text-classification",))
"""Tasks that the trainer fits models for; datasets of the others end prepared (``until: prepared``)."""

_BY_CONTENT: tuple[TaskName, ...] = (
    "object-detection", "image-classification", "audio-classification", "question-answering", "translation",
    "language-modelling",
)  # fmt: skip
"""Tasks that their columns give away; the first that suits is it."""
_BY_FIGURES: tuple[TaskName, ...] = ("text-classification", "tabular-classification", "tabular-regression")
"""Tasks of plain tables; when several suit, nobody but a person knows."""


class TaskSchema(Protocol):
    """What ``tidemill.tasks.<task>.schema`` offers, as module-level names."""

    COLUMN_NAMES: frozenset[str]
    """Usual names of the task's columns, case-folded, that are hardly values: how a header is told from values."""
    HAS_CLASSES: bool
    """Whether ``data.label`` holds classes, so that parts are cut and judged by them."""

    def suits(self, columns: Sequence[ColumnProfile], data: Data) -> bool:
        """Whether a dataset with these columns looks like one of the task's."""

    def resolve_columns(self, columns: Sequence[ColumnProfile], data: Data, where: str) -> Data:
        """``data`` with the task's columns filled in. Raises InvalidInput when they are absent or ambiguous."""

    def roles(self, data: Data) -> dict[str, str]:
        """Column by role, of resolved ``data``: ``{"text": "message", "label": "class"}``."""

    def features(self, columns: Mapping[str, ColumnType], data: Data) -> tuple[str, ...]:
        """The columns, of those given by name with their types, that a model would predict from."""


class ClassTaskSchema(TaskSchema, Protocol):
    """What a task with classes offers besides."""

    def check_labels(self, counts: Mapping[str, int] | None, column: str, where: str) -> None:
        """Raise InvalidInput when no model can be fitted to these labels; None: more than were counted."""


def task_schema(task: TaskName) -> TaskSchema:
    """The schema module of ``task``."""
    return cast(TaskSchema, importlib.import_module(f"tidemill.tasks.{task.replace('-', '_')}.schema"))


def known_column_names() -> frozenset[str]:
    """Usual names of the columns of all tasks, case-folded."""
    return frozenset().union(*(task_schema(task).COLUMN_NAMES for task in TASKS))


def resolve_task(
    task: Literal["auto"] | TaskName, columns: Sequence[ColumnProfile], data: Data, where: str
) -> tuple[TaskName, Data]:
    """The task that ``columns`` are for, and the recipe's data section with that task's columns filled in.

    ``where`` names the dataset in messages.

    Raises:
        InvalidInput: no task's columns are there, or they are ambiguous; says what to write into the recipe.
    """
    found = _chosen(columns, data, where) if task == "auto" else task
    return found, task_schema(found).resolve_columns(columns, data, where)


def check_labels(task: TaskName, counts: Mapping[str, int] | None, column: str, where: str) -> None:
    """Raise InvalidInput when ``task`` has classes and no model can be fitted to these; see ``ClassTaskSchema``."""
    schema = task_schema(task)
    if schema.HAS_CLASSES:
        cast(ClassTaskSchema, schema).check_labels(counts, column, where)


def check_until(task: TaskName, recipe: Recipe) -> None:
    """Raise InvalidInput when the run is to end with a model, and no stage fits models for ``task``."""
    if recipe.until == "registered" and task not in TRAINED:
        raise InvalidInput(
            f"no model is trained for {task} yet; set until: prepared, so that the run ends with the prepared dataset, "
            f"or task: to one that is trained ({', '.join(sorted(TRAINED))})"
        )


def _chosen(columns: Sequence[ColumnProfile], data: Data, where: str) -> TaskName:
    for task in _BY_CONTENT:
        if task_schema(task).suits(columns, data):
            return task
    suiting = [task for task in _BY_FIGURES if task_schema(task).suits(columns, data)]
    if len(suiting) > 1:
        label = "<column>" if data.label is None else data.label
        raise InvalidInput(
            f"{where} could be a dataset for {' or for '.join(suiting)}; say which in the recipe:  "
            f"task: {suiting[0]}, data: {{label: {label}}}"
        )
    # What suits nobody gets the message of the task that most tables are for.
    return suiting[0] if suiting else "text-classification"

"""One folder per machine-learning task. This file finds a task's schema and describes columns to it.

A task's ``schema.py`` knows which columns the task needs, how to recognise them and when they cannot work. It sees
column profiles and label counts, never rows, and imports nothing heavy.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, cast

from pydantic import Field

from tidemill.contracts import Frozen
from tidemill.contracts.data import TASK_NAMES, Data, TaskName

ColumnType = Literal["text", "integer", "number", "boolean", "empty", "other"]
"""``text`` holds at least one value that is no number; ``other`` is a nested or binary Parquet column."""

TASKS: tuple[TaskName, ...] = TASK_NAMES

TRAINED: frozenset[TaskName] = frozenset(("text-classification",))
"""Tasks that the trainer fits models for; datasets of the others end prepared (``until: prepared``)."""


class ColumnProfile(Frozen):
    """What is known of one column after reading it once. Lengths are in characters, of values that are present."""

    name: str
    type: ColumnType
    rows: int = Field(ge=0)
    missing: int = Field(ge=0)
    """Rows without a value: null, empty, or white space alone."""
    distinct: int | None
    """Distinct values; None when there are more than were counted."""
    min_length: int = 0
    mean_length: float = 0.0
    max_length: int = 0

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing


class TaskSchema(Protocol):
    """What ``tidemill.tasks.<task>.schema`` offers, as module-level functions."""

    COLUMN_NAMES: frozenset[str]
    """Usual names of the task's columns, case-folded: how a header is told from values."""

    def resolve_columns(self, columns: Sequence[ColumnProfile], data: Data, where: str) -> Data:
        """``data`` with the task's columns filled in. Raises InvalidInput when they are absent or ambiguous."""

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
    # With one task, "auto" has one answer. A second task will need a test of which of them the columns suit.
    found: TaskName = TASKS[0] if task == "auto" else task
    return found, task_schema(found).resolve_columns(columns, data, where)

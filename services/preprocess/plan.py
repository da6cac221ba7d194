"""The plan of a preparation: which steps there are, in which order, under which numbers.

A step's number says in the bookkeeping which one removed a row, and is its place in the report. Rows pass the row
steps first; duplicates, parts, fitted steps and small groups are decided afterwards, for all rows together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import cast

from daft import col

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.fitted import FittedStep
from services.preprocess.number_samples import NumberSamples
from services.preprocess.privacy import makes_tokens, needs_key, privacy_steps, read_key
from services.preprocess.repairs import repairs_for
from services.preprocess.rules import fitted_steps, row_steps
from services.preprocess.rules.labels import LabelCounts
from services.preprocess.spec import PreprocessSpec, treated_columns
from tidemill.contracts.data import TaskName
from tidemill.datasets import Column, DatasetSchema
from tidemill.errors import InvalidInput
from tidemill.tasks import task_schema

ROW, FOLD = "row", "fold"
"""Columns that a prepared dataset has beside its own."""
_LONG = frozenset(("text", "image", "audio", "nested"))

CONTRADICTIONS, DUPLICATES, KEEP_APART, NEAR_DUPLICATES, KEEP_NEAR_APART = range(1000, 1005)
FITTED = 2000
ANONYMITY = 3000
BALANCE = 4000
AUGMENTATION = 5000


@dataclass(frozen=True)
class Planned:
    """A row step under its number."""

    number: int
    step: RowStep


@dataclass(frozen=True)
class Plan:
    """``cleaning`` and ``personal`` are the row steps before and behind the point up to which an outcome is kept;
    ``cleaned`` and ``columns`` are the columns behind each."""

    task: str
    roles: Mapping[str, str]
    cleaning: Sequence[Planned]
    personal: Sequence[Planned]
    fitted: Sequence[FittedStep]
    source: Mapping[str, Column]
    cleaned: Mapping[str, Column]
    columns: Mapping[str, Column]
    key: bytes | None = None
    """Of keyed treatments."""
    makes_tokens: bool = False
    """Whether the steps for personal data fill the hidden column of tokens."""

    @property
    def label(self) -> str | None:
        """The column with the class, of a task that has classes."""
        return self.roles.get("label") if task_schema(cast(TaskName, self.task)).HAS_CLASSES else None

    def short_columns(self, named: Sequence[str]) -> list[str]:
        """Columns that decisions may look at: those of short values, and the ones ``named``, which have to be there."""
        for name in named:
            if name not in self.columns:
                known = ", ".join(self.columns)
                raise InvalidInput(f"the recipe names the column {name!r}, which the dataset lacks; it has {known}")
        return [name for name, column in self.columns.items() if column.kind not in _LONG or name in named]

    def shown_columns(self) -> dict[str, str]:
        """Columns that say what a row is, by what a report calls them."""
        named = {role: name for role, name in self.roles.items() if name in self.columns}
        others = [name for name, column in self.columns.items() if column.kind not in _LONG]
        return named | {name: name for name in others[:6] if name not in named.values() and "text" not in named}


def make_plan(
    spec: PreprocessSpec, schema: DatasetSchema, labels: LabelCounts | None = None, numbers: NumberSamples | None = None
) -> Plan:
    """The plan for a dataset of that schema; ``labels``: rows by label by part, as ingest counted them;
    ``numbers``: the first values of columns of numbers.

    Reads the key of keyed treatments, where there are any. Raises InvalidInput when the recipe does not suit the
    dataset's columns, or the key is not there.
    """
    roles = {**schema.roles, **spec.roles}
    source = {column.name: column for column in schema.columns}
    _check(source, roles)
    key = read_key(spec.privacy.key) if spec.privacy.key is not None and needs_key(spec.privacy) else None
    room, new = _room(spec.task, source)
    roles = {role: new.get(name, name) for role, name in roles.items()}
    cleaning = [*room, *repairs_for(spec.task, roles)]
    repaired = _after(cleaning, source)
    private = treated_columns(spec.privacy)
    cleaning += row_steps(spec.data, _schema(spec.task, roles, repaired), labels, personal=private)
    cleaned = _after(cleaning, source)
    personal = privacy_steps(spec.privacy, _schema(spec.task, roles, cleaned), key, numbers)
    columns = _after(personal, cleaned)
    numbered = [Planned(number, step) for number, step in enumerate([*cleaning, *personal], 1)]
    return Plan(
        task=spec.task, roles=roles, cleaning=numbered[: len(cleaning)], personal=numbered[len(cleaning) :],
        fitted=fitted_steps(spec.data, _schema(spec.task, roles, columns)), source=source, cleaned=cleaned,
        columns=columns,
        key=key, makes_tokens=makes_tokens(spec.privacy),
    )  # fmt: skip


def _after(steps: Sequence[RowStep], columns: Mapping[str, Column]) -> Mapping[str, Column]:
    return reduce(lambda now, step: step.columns_after(now), steps, columns)


def _schema(task: str, roles: Mapping[str, str], columns: Mapping[str, Column]) -> DatasetSchema:
    return DatasetSchema(task=task, roles=dict(roles), columns=list(columns.values()))


def _check(columns: Mapping[str, Column], roles: Mapping[str, str]) -> None:
    for role, name in roles.items():
        if name not in columns:
            raise InvalidInput(
                f"data.{role} is the column {name!r}, which the dataset lacks; it has {', '.join(columns)}"
            )
    hidden = [name for name in columns if name.startswith("__")]
    if hidden:
        raise InvalidInput(f"column {hidden[0]!r}: names that begin with __ are the preparation's own; rename it")


def _room(task: str, columns: Mapping[str, Column]) -> tuple[list[RowStep], dict[str, str]]:
    """Columns that have the name of one of ours get another, for tasks that keep all columns; the new names."""
    new = {name: f"{name}_" for name in (ROW, FOLD) if name in columns and task != "text-classification"}
    if not new:
        return [], {}

    def after(columns: Mapping[str, Column]) -> dict[str, Column]:
        return {
            new.get(name, name): column.model_copy(update={"name": new.get(name, name)})
            for name, column in columns.items()
        }

    change = Change({to: col(name) for name, to in new.items()}, dropped_columns=tuple(new))
    says = f"a prepared dataset has its own columns {ROW} and {FOLD}, so those of the source get an underscore"
    return [Step("rename columns", says, lambda _: change, after)], new

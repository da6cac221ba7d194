"""Training texts alone: more of them, and what their words are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import daft
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.preprocess.change import ROW
from services.preprocess.duplicates import exact_keys
from services.preprocess.duplicates.keys import LEAKAGE
from services.preprocess.plan import AUGMENTATION, Plan
from services.preprocess.rules.augmentation import augment_texts
from services.preprocess.rules.hooks import TextHook, find_hook
from services.preprocess.rules.tokens import TokenStatistics
from services.preprocess.spec import PreprocessSpec
from services.preprocess.splits.units import TRAIN
from services.preprocess.tally import StepTally
from tidemill.contracts.preparation import TextAugmentation
from tidemill.datasets import Column

WORDS_OF = 20_000
"""Training texts whose words are counted: of more, every n-th."""


COPIES, LEFT_OUT = "copies", "copies left out: a text of validation or test says the same"


@dataclass
class MoreTexts:
    """Changed copies of texts, beside the texts. ``held_out``: hashes of what validation and test say (LEAKAGE),
    ascending; a copy that says the same is left out. ``counts``: copies that were made."""

    rule: TextAugmentation
    column: str
    hook: TextHook | None
    normalised: bool = False
    held_out: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    counts: dict[str, int] = field(default_factory=lambda: {COPIES: 0, LEFT_OUT: 0})

    def beside(self, rows: pa.Table) -> pa.Table:
        """``rows`` and their copies, each behind its row."""
        copies = augment_texts(rows, self.rule, self.column, self.hook)
        known = np.isin(self._said(copies), self.held_out)
        copies = copies.filter(pa.array(~known))
        self.counts[COPIES] += copies.num_rows
        self.counts[LEFT_OUT] += int(known.sum())
        both = pa.concat_tables([rows, copies.select(rows.column_names)])
        return both.take(pa.array(np.argsort(both[ROW].to_numpy(), kind="stable")))

    def tally(self) -> StepTally:
        """What was done, for the report."""
        counts = {what: number for what, number in self.counts.items() if number}
        says = f"{self.rule.copies} changed copies of every training text"
        return StepTally(number=AUGMENTATION, name="augment texts", says=says, counts=counts)

    def _said(self, copies: pa.Table) -> npt.NDArray[np.uint64]:
        text = Column(name=self.column, kind="text", strings=True)
        roles, task = {"text": self.column}, "language-modelling"  # whatever the task, the text alone
        key = exact_keys({self.column: text}, roles, task, normalised=self.normalised)[LEAKAGE[0]]
        said: npt.NDArray[np.uint64] = (
            daft.from_arrow(copies.select([self.column])).select(key.alias("said")).to_arrow()["said"].to_numpy()
        )
        return said


def more_texts(plan: Plan, spec: PreprocessSpec, allowed_hooks: Sequence[str]) -> MoreTexts | None:
    """What the recipe asks for. Raises InvalidInput when it names a hook that the operator does not allow."""
    rule = spec.data.augment.text
    if rule is None:
        return None
    normalised = spec.data.normalize
    named = rule.back_translation
    hook = None if named is None else find_hook(named, allowed_hooks, normalised=normalised)
    return MoreTexts(rule, plan.roles["text"], hook, normalised=normalised)


class TrainingWords:
    """Figures of the words of a shard's training texts, or of every n-th of them."""

    def __init__(self, plan: Plan, every: int) -> None:
        self._column = plan.roles.get("text")
        self._every = every
        self._texts: list[pa.Array] = []

    def take(self, batch: pa.RecordBatch, decisions: pa.Table) -> None:
        """Look at the training rows of ``batch`` that stay."""
        if self._column is None:
            return
        training = pc.and_(pc.equal(decisions["removed"], 0), pc.equal(decisions["part"], TRAIN)).to_numpy()
        chosen = training & (batch.column(ROW).to_numpy() % self._every == 0)
        self._texts.append(batch.column(self._column).filter(pa.array(chosen)))

    def count(self) -> dict[str, Any] | None:
        """The figures as JSON; None for a task without a text."""
        if self._column is None:
            return None
        statistics = TokenStatistics()
        if self._texts:
            statistics.update(pa.chunked_array(self._texts))
        return statistics.state()


def words_of_all(shards: Sequence[Any]) -> dict[str, Any] | None:
    """The summary of what ``TrainingWords.count`` gave for each shard."""
    total = TokenStatistics()
    counted = [state for state in shards if state is not None]
    for state in counted:
        total.merge(TokenStatistics.from_state(state))
    return total.summary() if counted else None

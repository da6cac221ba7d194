"""Training texts alone: more of them, and what their words are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.preprocess.change import ROW
from services.preprocess.plan import Plan
from services.preprocess.rules.augmentation import augment_texts
from services.preprocess.rules.hooks import TextHook, find_hook
from services.preprocess.rules.tokens import TokenStatistics
from services.preprocess.spec import PreprocessSpec
from services.preprocess.splits.units import TRAIN
from tidemill.contracts.preparation import TextAugmentation

WORDS_OF = 20_000
"""Training texts whose words are counted: of more, every n-th."""


@dataclass(frozen=True)
class MoreTexts:
    """Changed copies of texts, beside the texts."""

    rule: TextAugmentation
    column: str
    hook: TextHook | None

    def beside(self, rows: pa.Table) -> pa.Table:
        """``rows`` and their copies, each behind its row."""
        copies = augment_texts(rows, self.rule, self.column, self.hook)
        both = pa.concat_tables([rows, copies.select(rows.column_names)])
        return both.take(pa.array(np.argsort(both[ROW].to_numpy(), kind="stable")))


def more_texts(plan: Plan, spec: PreprocessSpec, allowed_hooks: Sequence[str]) -> MoreTexts | None:
    """What the recipe asks for. Raises InvalidInput when it names a hook that the operator does not allow."""
    rule = spec.data.augment.text
    if rule is None:
        return None
    hook = None if rule.back_translation is None else find_hook(rule.back_translation, allowed_hooks)
    return MoreTexts(rule, plan.roles["text"], hook)


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

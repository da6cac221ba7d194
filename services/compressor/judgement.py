"""How good a model is on the validation and test parts, and whether it differs from the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.compressor.examples import Examples
from services.compressor.quality import Encode, EncodedPart, Run
from tidemill.contracts import EvaluationSummary, VariantFigures
from tidemill.tasks.text_classification.metrics import agreement, evaluate_logits, paired_bootstrap

_SEED = 17


@dataclass(frozen=True)
class Tested:
    """A model on the test part; ``predicted`` holds label indices int64 [examples]."""

    evaluation: EvaluationSummary
    predicted: NDArray[np.int64]


class Judge:
    """Asks models for the same encoded rows and compares their answers with the labels."""

    def __init__(self, labels: Sequence[str], encode: Encode, validation: Examples, test: Examples) -> None:
        self._labels = list(labels)
        self._parts = {"validation": validation, "test": test}
        self._encoded = {name: EncodedPart(encode, part.texts) for name, part in self._parts.items()}

    def validate(self, run: Run, *, parallel: int = 1) -> EvaluationSummary:
        """Quality on the validation part, on which the choice is made."""
        return self._ask("validation", run, parallel).evaluation

    def test(self, run: Run, *, parallel: int = 1) -> Tested:
        """Quality on the test part, which is reported and never chosen on."""
        return self._ask("test", run, parallel)

    def compare(self, figures: VariantFigures, tested: Tested, original: Tested | None = None) -> VariantFigures:
        """``figures`` with what the test part says, and with the difference from ``original`` when there is one."""
        found: dict[str, object] = {"test_metrics": tested.evaluation.metrics}
        if original is not None:
            truth = self._parts["test"].labels
            mine, theirs = tested.predicted == truth, original.predicted == truth
            found["agreement"] = agreement(tested.predicted, original.predicted)
            found["accuracy_difference_ci95"] = paired_bootstrap(mine, theirs, _SEED)
        return figures.model_copy(update=found)

    def _ask(self, part: str, run: Run, parallel: int) -> Tested:
        logits = self._encoded[part].predict(run, parallel=parallel)
        evaluation = evaluate_logits(self._labels, self._parts[part].labels, logits, part)
        return Tested(evaluation, logits.argmax(axis=1))

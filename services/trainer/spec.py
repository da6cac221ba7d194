"""What a training job is asked for and what it answers. Pydantic only; the plan and the child process share it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tidemill.contracts import ArtifactRef, Digest, EvaluationSummary, Frozen
from tidemill.contracts.recipe import FromScratch
from tidemill.texts import TextPreparation

GoalMetric = Literal["accuracy", "macro_f1", "weighted_f1"]


class Base(Frozen):
    """The pretrained model that is fine-tuned, resolved so far that it cannot change any more."""

    name: str
    """As the recipe says it: an alias, a folder, or a hub id."""
    digest: Digest | None = None
    """sha256 over the files of a folder or an alias."""
    revision: str | None = None
    """Commit of a hub id, which names its content."""


class Hyperparameters(Frozen):
    """The recipe's training section, as far as the result depends on it."""

    epochs: float
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    early_stopping: int
    precision: Literal["auto", "bf16", "fp32"]
    seed: int


class Fold(Frozen):
    """Which fold of a cross-validation this job holds out: ``index`` in 1..``of``."""

    index: int = Field(ge=1)
    of: int = Field(ge=2)


class TrainingSpec(TextPreparation):
    """One model to fit, and how the dataset's texts were prepared: the model is then served so, too.

    ``dataset`` is the job's input of that name, kept for the model's lineage.
    """

    task: str
    dataset: ArtifactRef
    base: Base | None
    """None when ``from_scratch`` says what to build."""
    from_scratch: FromScratch | None = None
    max_length: int
    goal: GoalMetric
    training: Hyperparameters
    fold: Fold | None = None

    @property
    def recipe_sections(self) -> dict[str, Any]:
        """The part of the recipe that shaped this model, for its lineage."""
        scratch = self.from_scratch.model_dump(mode="json") if self.from_scratch else None
        return {
            "goal": {"metric": self.goal},
            "model": {
                "base": self.base.name if self.base else None,
                "from_scratch": scratch,
                "max_length": self.max_length,
            },
            "training": self.training.model_dump(mode="json"),
        }


class LossPoint(Frozen):
    """Mean training loss over the steps since the point before."""

    step: int
    loss: float


class EpochFigures(Frozen):
    """The validation part after ``epoch`` epochs."""

    epoch: float
    metrics: dict[str, float]


class TrainingResult(Frozen):
    """What a training job found out. ``evaluation`` is on the test part, or on the fold that was held out."""

    evaluation: EvaluationSummary
    validation: EvaluationSummary
    epochs: list[EpochFigures]
    losses: list[LossPoint]
    steps: int
    best_epoch: float
    """The epoch whose weights were kept."""
    precision: Literal["bf16", "fp32"]
    device: str

"""The recipe: one YAML document that says everything about a run. People's input, so unknown keys are refused.

Every section has defaults, so that a dataset needs no recipe at all. ``parse_recipe`` is the one way in: it
turns pydantic's error list into sentences that name the key and, for a misspelt one, the nearest known key.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from tidemill.contracts.data import Data, TaskName
from tidemill.contracts.economics import Economics
from tidemill.contracts.privacy import Privacy
from tidemill.contracts.section import Section

METRICS = (
    "accuracy", "macro_precision", "macro_recall", "macro_f1",
    "weighted_precision", "weighted_recall", "weighted_f1", "auc",
)  # fmt: skip
"""Metrics of a text classifier that are better when higher, as ``EvaluationSummary.metrics`` names them."""


class RecipeError(ValueError):
    """The recipe is not valid; the message names every wrong key and what to do."""


class Goal(Section):
    """What the model is judged by."""

    metric: Literal["accuracy", "macro_f1", "weighted_f1"] = "macro_f1"
    """Early stopping, compression and promotion look at this metric; higher is better."""


class FromScratch(Section):
    """A small BERT-style encoder with random weights and a WordPiece vocabulary learned from the training part."""

    layers: int = Field(default=2, ge=1, le=48)
    hidden_size: int = Field(default=64, ge=8, le=4096)
    heads: int = Field(default=2, ge=1, le=64)
    vocabulary: int = Field(default=4000, ge=200, le=200_000)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> FromScratch:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}")
        return self


class Model(Section):
    """Which model is fitted."""

    base: str = "minilm"
    """A local folder written as a path (``/…``, ``./…``), a Hugging Face hub id, or the alias ``minilm`` (offline).
    Over HTTP a folder is taken from this machine's user alone."""
    from_scratch: FromScratch | None = None
    """Train a new encoder instead of fine-tuning ``base``."""
    max_length: int = Field(default=128, ge=8, le=8192)
    """Longest input in tokens; longer text is cut."""


class Training(Section):
    """How it is fitted."""

    epochs: float = Field(default=4, gt=0, le=1000)
    batch_size: int = Field(default=32, ge=1, le=4096)
    learning_rate: float = Field(default=2e-4, gt=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    warmup: float = Field(default=0.06, ge=0, lt=1)
    """Share of the steps over which the learning rate rises; cosine decay follows."""
    early_stopping: int = Field(default=2, ge=0)
    """Epochs without a better goal metric before training stops; 0 never stops early."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """``gpu`` sends the job to GPU workers only; ``auto`` takes whichever worker is free."""
    seed: int = 17


class Evaluation(Section):
    """How it is judged."""

    folds: int | None = Field(default=None, ge=2, le=20)
    """k-fold cross-validation on the training and validation parts, beside the final model."""


CompressionCandidate = Literal["onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-int8"]


class Compression(Section):
    """What the compressor tries, and how much quality it may cost."""

    candidates: list[CompressionCandidate] = Field(
        default_factory=lambda: list(get_args(CompressionCandidate)), min_length=1
    )

    @field_validator("candidates")
    @classmethod
    def _each_once(cls, candidates: list[CompressionCandidate]) -> list[CompressionCandidate]:
        twice = [name for name in dict.fromkeys(candidates) if candidates.count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} stands there twice; name each candidate once")
        return candidates

    quality_budget: float = Field(default=0.01, ge=0, le=1)
    """Largest drop of the goal metric on the validation part, absolute."""
    calibration_examples: int = Field(default=300, ge=8, le=100_000)
    """Training rows that int8 calibration sees."""


class Promotion(Section):
    """The gates between a registered version and the alias ``champion``."""

    enabled: bool = True
    minimum: dict[str, float] = Field(default_factory=dict)
    """Metrics on the test part that a version must reach, e.g. ``{accuracy: 0.9}``."""

    @field_validator("minimum")
    @classmethod
    def _known_metrics(cls, minimum: dict[str, float]) -> dict[str, float]:
        for name in minimum:
            if name not in METRICS:
                nearest = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.5)
                hint = f"did you mean {nearest[0]!r}?" if nearest else f"known metrics: {', '.join(METRICS)}"
                raise ValueError(f"{name!r} is not a metric; {hint}")
        return minimum

    must_beat_champion: bool = True
    """The goal metric on the test part has to be better than the champion's."""


class Recipe(Section):
    """Everything about a run. ``task: auto`` is resolved by ingest, which freezes the result as an artifact."""

    task: Literal["auto"] | TaskName = "auto"
    until: Literal["registered", "prepared"] = "registered"
    """Where the run ends: with a registered model, or with the prepared dataset."""
    goal: Goal = Goal()
    data: Data = Data()
    privacy: Privacy = Privacy()
    model: Model = Model()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    compression: Compression = Compression()
    promotion: Promotion = Promotion()
    economics: Economics = Economics()
    """Read from the run, never frozen: what a result is does not depend on what it may cost."""


def parse_recipe(document: Mapping[str, Any] | None) -> Recipe:
    """Validate ``document`` (already parsed YAML or JSON).

    Raises:
        RecipeError: names every wrong key with its path; an unknown key comes with the nearest known one.
    """
    if document is None:
        return Recipe()
    if not isinstance(document, Mapping):
        raise RecipeError("the recipe must be a mapping of sections, e.g. 'training: {epochs: 2}'")
    try:
        return Recipe.model_validate(document)
    except ValidationError as invalid:
        raise RecipeError("; ".join(_sentence(error) for error in invalid.errors())) from None


def _sentence(error: Any) -> str:
    path = [str(part) for part in error["loc"]]
    where = ".".join(path) or "recipe"
    if error["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        nearest = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known keys: {', '.join(sorted(known))}"
        return f"recipe key {where!r} is not known; {hint}"
    message = error["msg"].removeprefix("Value error, ")
    return f"recipe key {where!r}: {message} (got {error['input']!r})"


def _known_keys(path: list[str]) -> list[str]:
    section: type[BaseModel] = Recipe
    for part in path:
        field = section.model_fields.get(part)
        annotation = field.annotation if field else None
        candidates = [annotation, *get_args(annotation)]
        candidates += [inner for one in get_args(annotation) for inner in get_args(one)]
        nested = [kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not nested:
            return []
        section = nested[0]
    return list(section.model_fields)

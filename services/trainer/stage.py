"""The trainer's stage: which jobs a prepared dataset asks for, the work, and what is announced when all are done.

``plan`` and ``join`` run in the service and import nothing heavy; ``work`` runs in a child process.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from statistics import fmean, stdev
from typing import Literal

from services.trainer import pretrained
from services.trainer.spec import Fold, Hyperparameters, TrainingResult, TrainingSpec
from tidemill.contracts import (
    DatasetPrepared,
    FoldSummary,
    ModelTrained,
    Recipe,
    ResourceClass,
    ResourceUsage,
)
from tidemill.errors import InvalidInput
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.stage.definition import Job, JobResult, Stage
from tidemill.texts import TextPreparation

REVISION = 1
"""Raised when the same spec and dataset give another model; see ``Stage.revision``."""


def trainer_stage(
    *,
    checkpoint_every: timedelta = timedelta(minutes=5),
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int | None = None,
    resource_classes: Sequence[ResourceClass] = ("cpu",),
) -> Stage[DatasetPrepared, TrainingSpec, TrainingResult]:
    """The stage as ``create_app`` wants it. None of the arguments changes a result."""
    return Stage(
        name="train",
        consumes=DatasetPrepared,
        revision=REVISION,
        spec=TrainingSpec,
        result=TrainingResult,
        outputs={"model": "model"},
        plan=plan,
        work=functools.partial(work, checkpoint_every=checkpoint_every, device=device, threads=threads),
        join=join,
        preload=("services.trainer.openmp", "services.trainer.training"),
        resource_classes=resource_classes,
    )


def plan(event: DatasetPrepared, recipe: Recipe) -> list[Job[TrainingSpec]]:
    """The job of the model itself, and one for each fold of a cross-validation.

    Raises:
        InvalidInput: the base model does not exist or cannot be asked for, or there are too few examples.
        TransientError: the Hugging Face hub does not answer now.
    """
    _check_size(event, recipe.evaluation.folds)
    scratch = recipe.model.from_scratch
    training, preparation = recipe.training, TextPreparation.of(recipe.data)
    spec = TrainingSpec(
        task=event.task,
        dataset=event.dataset,
        base=None if scratch else pretrained.resolve(recipe.model.base),
        from_scratch=scratch,
        max_length=recipe.model.max_length,
        strip_html=preparation.strip_html,
        normalize=preparation.normalize,
        lowercase=preparation.lowercase,
        stop_words=preparation.stop_words,
        goal=recipe.goal.metric,
        training=Hyperparameters.model_validate(training.model_dump()),
    )
    folds = recipe.evaluation.folds or 0
    jobs = [("model" if folds else "", spec)]
    for index in range(1, folds + 1):
        held_out = Fold(index=index, of=folds)
        jobs.append((f"fold {index} of {folds}", spec.model_copy(update={"fold": held_out})))
    resource_class: ResourceClass = "gpu" if training.accelerator == "gpu" else "cpu"
    return [Job(one, {"dataset": event.dataset}, resource_class, title) for title, one in jobs]


def work(
    spec: TrainingSpec,
    inputs: Inputs,
    output: Path,
    report: ProgressReport,
    *,
    checkpoint_every: timedelta,
    device: Literal["auto", "cpu", "cuda"],
    threads: int | None,
) -> TrainingResult:
    """Fit one model; see ``services.trainer.training.train``."""
    from services.trainer.training import train

    return train(
        spec,
        inputs,
        output,
        report,
        revision=REVISION,
        checkpoint_every=checkpoint_every,
        device=device,
        threads=threads,
    )


def join(event: DatasetPrepared, recipe: Recipe, results: Sequence[JobResult[TrainingResult]]) -> ModelTrained:
    """Announce the model with the evaluation of the folds beside its own."""
    model = next(done for done in results if "model" in done.artifacts)
    folds = [done.result.evaluation.metrics for done in results if done is not model]
    return ModelTrained(
        project=event.project,
        run_id=event.run_id,
        name=event.name,
        recipe=event.recipe,
        use_cache=event.use_cache,
        usage=ResourceUsage.total(done.usage for done in results),
        dataset=event.dataset,
        model=model.artifacts["model"],
        task=event.task,
        evaluation=model.result.evaluation,
        validation=model.result.validation,
        cross_validation=summarise_folds(folds) if folds else None,
    )


def summarise_folds(folds: Sequence[dict[str, float]]) -> FoldSummary:
    """Mean and standard deviation (ddof=1) of every metric that all folds have."""
    shared = [name for name in folds[0] if all(name in fold for fold in folds)]
    columns = {name: [fold[name] for fold in folds] for name in shared}
    return FoldSummary(
        folds=list(folds),
        mean={name: fmean(values) for name, values in columns.items()},
        std={name: stdev(values) for name, values in columns.items()},
    )


def _check_size(event: DatasetPrepared, folds: int | None) -> None:
    for part in ("train", "validation", "test"):
        if not event.parts.get(part):
            raise InvalidInput(
                f"dataset {event.name!r}: its {part} part is empty, so no model can be fitted and judged; "
                "publish more rows or change data.split"
            )
    trainable = event.parts["train"] + event.parts["validation"]
    if folds and trainable < 2 * folds:
        raise InvalidInput(
            f"evaluation.folds is {folds}, but dataset {event.name!r} has only {trainable} examples to fit and "
            "validate on; take fewer folds or publish more rows"
        )

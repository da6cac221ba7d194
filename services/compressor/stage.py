"""The compress stage: plan, work, join. Light to import; the heavy part loads in the job's child process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.compressor.spec import CompressionResult, CompressionSpec
from tidemill.contracts import ModelCompressed, ModelTrained, Recipe
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.stage.definition import Job, JobResult, Stage

REVISION = 1


def plan_compression(event: ModelTrained, recipe: Recipe) -> list[Job[CompressionSpec]]:
    """One job: all candidates are measured in one run, or their figures could not be compared."""
    spec = CompressionSpec(
        compression=recipe.compression,
        goal=recipe.goal,
        task=event.task,
        trained=event.model,
        cross_validation=event.cross_validation,
    )
    return [Job(spec=spec, inputs={"model": event.model, "dataset": event.dataset})]


def compress(spec: CompressionSpec, inputs: Inputs, output: Path, report: ProgressReport) -> CompressionResult:
    """Leave the package with all variants in ``output/model``."""
    from services.compressor import compression

    return compression.compress(spec, inputs["model"], inputs["dataset"], output / "model", report, revision=REVISION)


def join_compression(
    event: ModelTrained, recipe: Recipe, results: Sequence[JobResult[CompressionResult]]
) -> ModelCompressed:
    """Announce the chosen variant beside the original, and the figures of all."""
    done = results[0]
    figures = {one.variant: one for one in done.result.variants}
    return ModelCompressed(
        project=event.project,
        run_id=event.run_id,
        name=event.name,
        recipe=event.recipe,
        usage=done.usage,
        use_cache=event.use_cache,
        dataset=event.dataset,
        trained=event.model,
        model=done.artifacts["model"],
        task=event.task,
        evaluation=done.result.evaluation,
        original=done.result.original,
        compressed=figures[done.result.chosen],
        variants=done.result.variants,
        reason=done.result.reason,
        failed=done.result.failed,
    )


STAGE = Stage(
    name="compress",
    consumes=ModelTrained,
    revision=REVISION,
    spec=CompressionSpec,
    result=CompressionResult,
    outputs={"model": "model"},
    plan=plan_compression,
    work=compress,
    join=join_compression,
    preload=("services.compressor.compression",),
    hardware_matters=True,
)

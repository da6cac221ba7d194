"""Ingest as a stage: what it takes, what it leaves, what it announces. The work itself is in ``dataset``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from services.ingest.intake.licences import check_licence
from services.ingest.sources.policy import SourcePolicy
from services.ingest.spec import IngestResult, IngestSpec
from tidemill.contracts import DatasetIngested, DatasetPublished, Recipe
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.stage.definition import Job, JobResult, Stage
from tidemill.stage.versions import claim_version

REVISION = 2


def ingest_stage(
    policy: SourcePolicy, *, max_cell: int = 1_000_000
) -> Stage[DatasetPublished, IngestSpec, IngestResult]:
    """The stage, reading what ``policy`` allows; ``max_cell`` bounds one value in characters."""
    return Stage(
        name="ingest",
        consumes=DatasetPublished,
        revision=REVISION,
        spec=IngestSpec,
        result=IngestResult,
        outputs={"dataset": "dataset", "recipe": "recipe", "report": "report", "quarantine": "quarantine"},
        plan=partial(plan_ingest, max_cell=max_cell),
        work=partial(ingest, max_bytes=policy.max_bytes, max_files=policy.max_files),
        join=join_ingest,
        resolve=claim_version,
        preload=("services.ingest.dataset", "services.ingest.snapshot"),
        snapshot=partial(snapshot, policy=policy),
    )


def snapshot(event: DatasetPublished, into: Path, report: ProgressReport, *, policy: SourcePolicy) -> None:
    """Copy what ``event.uri`` names into ``into``; see ``services.ingest.snapshot``."""
    from services.ingest.snapshot import snapshot as copy

    copy(event, into, report, policy=policy)


def plan_ingest(event: DatasetPublished, recipe: Recipe, *, max_cell: int = 1_000_000) -> list[Job[IngestSpec]]:
    """One job. The event's ``promote`` is part of what the user wants, so it is frozen with the recipe.

    Raises:
        InvalidInput: the recipe does not allow the dataset's licence.
    """
    assert event.source is not None, "the stage machinery takes the snapshot before it plans"
    check_licence(recipe.data.licence or event.licence, recipe.data.allowed_licences)
    inputs = {"source": event.source}
    if event.previous is not None:
        inputs["previous"] = event.previous
    if event.promote is not None:
        promotion = recipe.promotion.model_copy(update={"enabled": event.promote})
        recipe = recipe.model_copy(update={"promotion": promotion})
    # The first rows of a dataset have nothing to be added to.
    append = event.append and event.previous is not None
    return [Job(spec=IngestSpec(recipe=recipe, append=append, max_cell=max_cell), inputs=inputs)]


def ingest(
    spec: IngestSpec, inputs: Inputs, output: Path, report: ProgressReport, *,
    max_bytes: int = 10 * 1024**3, max_files: int = 200_000,
) -> IngestResult:  # fmt: skip
    """Read the source into a Parquet dataset and freeze the recipe; see ``services.ingest.dataset.ingest``.

    ``max_bytes`` and ``max_files`` bound what may come out of its archives.
    """
    from services.ingest import dataset
    from services.ingest.archives import UnpackLimits

    limits = UnpackLimits(max_bytes=max_bytes, max_files=max_files)
    return dataset.ingest(spec, inputs, output, report, unpacking=limits)


def join_ingest(event: DatasetPublished, recipe: Recipe, results: Sequence[JobResult[IngestResult]]) -> DatasetIngested:
    """The dataset was read: where it is, and how many rows it has."""
    assert event.source is not None, "the stage machinery takes the snapshot before it plans"
    (done,) = results
    return DatasetIngested(
        project=event.project,
        run_id=event.run_id,
        name=event.name,
        recipe=done.artifacts["recipe"],
        use_cache=event.use_cache,
        source=event.source,
        dataset=done.artifacts["dataset"],
        task=done.result.task,
        rows=done.result.rows,
        parts=done.result.parts,
        version=event.version,
        report=done.artifacts["report"],
        quarantine=done.artifacts.get("quarantine"),
        bad_rows=done.result.bad_rows,
    )

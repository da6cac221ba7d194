"""Preprocess as a stage: what it takes, what it leaves, what it announces. The work itself is in ``dataset``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.preprocess.spec import PreprocessResult, PreprocessSpec
from tidemill.contracts import DatasetIngested, DatasetPrepared, Recipe
from tidemill.errors import InvalidInput
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.stage.definition import Job, JobResult, Stage

REVISION = 1


def preprocess_stage() -> Stage[DatasetIngested, PreprocessSpec, PreprocessResult]:
    """The stage."""
    return Stage(
        name="preprocess",
        consumes=DatasetIngested,
        revision=REVISION,
        spec=PreprocessSpec,
        result=PreprocessResult,
        outputs={"dataset": "dataset"},
        plan=plan_preprocess,
        work=preprocess,
        join=join_preprocess,
        preload=("services.preprocess.dataset",),
    )


def plan_preprocess(event: DatasetIngested, recipe: Recipe) -> list[Job[PreprocessSpec]]:
    """One job for the whole dataset."""
    data = recipe.data
    if data.text is None or data.label is None:
        raise InvalidInput("the frozen recipe does not name the columns data.text and data.label; ingest it again")
    spec = PreprocessSpec(
        task=event.task,
        text=data.text,
        label=data.label,
        normalize=data.normalize,
        drop_duplicates=data.drop_duplicates,
        split=data.split,
    )
    return [Job(spec=spec, inputs={"dataset": event.dataset})]


def preprocess(spec: PreprocessSpec, inputs: Inputs, output: Path, report: ProgressReport) -> PreprocessResult:
    """Clean and cut the dataset; see ``services.preprocess.dataset.preprocess``."""
    from services.preprocess import dataset

    return dataset.preprocess(spec, inputs, output, report)


def join_preprocess(
    event: DatasetIngested, recipe: Recipe, results: Sequence[JobResult[PreprocessResult]]
) -> DatasetPrepared:
    """The dataset is clean and cut: where it is, how large its parts are, which labels it has."""
    (done,) = results
    return DatasetPrepared(
        project=event.project,
        run_id=event.run_id,
        name=event.name,
        recipe=event.recipe,
        use_cache=event.use_cache,
        ingested=event.dataset,
        dataset=done.artifacts["dataset"],
        task=event.task,
        parts=done.result.parts,
        labels=done.result.labels,
    )

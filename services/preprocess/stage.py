"""Preprocess as a stage: what it takes, what it leaves, what it announces. The work itself is in ``dataset``.

A dataset of few rows is one job. A large one is prepared in rounds: its shards are made artifacts of their own, each is
cleaned by a job, one job decides about all rows, each shard is written by a job, one puts the parts together. A shard's
cleaning has the shard alone as its input, so that appended data leaves what is known of the others as it is. The data
report is a job of its own behind it all, since it looks at the version before, which the dataset knows nothing of.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from services.preprocess.spec import PreprocessResult, PreprocessSpec, decide_spec, map_spec, report_spec, steps_of
from tidemill.contracts import DatasetIngested, DatasetPrepared, Recipe
from tidemill.errors import InvalidInput
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.stage.definition import Job, JobResult, Stage

REVISION = 4

Results = Sequence[JobResult[PreprocessResult]]


def preprocess_stage(
    *, ray_address: str | None = None, allowed_hooks: Sequence[str] = (), processes: int = 1
) -> Stage[DatasetIngested, PreprocessSpec, PreprocessResult]:
    """The stage; ``ray_address`` is where the cluster is that ``data.engine: ray`` computes on, ``allowed_hooks`` the
    functions of the operator's own that a recipe may name, ``processes`` how many at most work on a large dataset."""
    return Stage(
        name="preprocess",
        consumes=DatasetIngested,
        revision=REVISION,
        spec=PreprocessSpec,
        result=PreprocessResult,
        outputs={
            "dataset": "dataset", "shard-*": "dataset", "schema": "dataset", "rows": "dataset", "keys": "dataset",
            "decisions-*": "dataset", "summary": "dataset", "applied": "dataset",
            "vault": "vault", "report": "report",
        },
        plan=plan_preprocess,
        work=partial(
            preprocess, ray_address=ray_address, allowed_hooks=tuple(allowed_hooks), processes=processes
        ),
        join=join_preprocess,
        follow=follow_preprocess,
        preload=("services.preprocess.dataset",),
    )  # fmt: skip


def plan_preprocess(event: DatasetIngested, recipe: Recipe) -> list[Job[PreprocessSpec]]:
    """One job for all of a dataset; of one that has more rows than a shard, one that makes artifacts of its shards.

    On a Ray cluster it is always one job: the cluster takes the shards side by side.
    """
    spec = PreprocessSpec.of(event.task, recipe)
    inputs = {"dataset": event.dataset}
    if spec.engine == "ray" or sum(event.parts.values()) <= recipe.data.shard_rows:
        return [Job(spec=spec, inputs=inputs, steps=steps_of(spec))]
    return [Job(spec=PreprocessSpec(kind="shards", task=event.task), inputs=inputs, title="shards")]


def follow_preprocess(event: DatasetIngested, recipe: Recipe, rounds: Sequence[Results]) -> list[Job[PreprocessSpec]]:
    """The next round: of the pieces of a large dataset, then the report of the prepared one, then none."""
    prepared = next((one for one in rounds[-1] if one.result.parts), None)
    if prepared is None:
        return _follow_pieces(event, recipe, rounds) if "report" not in rounds[-1][0].artifacts else []
    inputs = {"prepared": prepared.artifacts["dataset"], "dataset": event.dataset}
    if event.report is not None:
        inputs["intake"] = event.report
    return [Job(spec=report_spec(event.task, recipe), inputs=inputs, title="report")]


def _follow_pieces(event: DatasetIngested, recipe: Recipe, rounds: Sequence[Results]) -> list[Job[PreprocessSpec]]:
    listed = rounds[0][0]
    shards = listed.result.shards
    spec = PreprocessSpec.of(event.task, recipe)
    schema = {"schema": listed.artifacts["schema"]}
    if len(rounds) == 1:
        return [
            Job(
                spec=map_spec(spec, shard),
                inputs={"dataset": listed.artifacts[f"shard-{shard.name}"]},
                title=f"clean {shard.file}",
            )
            for shard in shards
        ]
    if len(rounds) == 2:
        keys = {f"keys-{s.name}": done.artifacts["keys"] for s, done in zip(shards, rounds[1], strict=True)}
        return [Job(spec=decide_spec(spec, shards), inputs={**schema, **keys}, title="decide")]
    if len(rounds) == 3:
        return [
            Job(
                spec=spec.model_copy(update={"kind": "apply", "shard": shard}),
                inputs={
                    **schema,
                    "rows": mapped.artifacts["rows"],
                    "decisions": rounds[2][0].artifacts[f"decisions-{shard.name}"],
                },
                title=f"write {shard.file}",
            )
            for shard, mapped in zip(shards, rounds[1], strict=True)
        ]
    inputs = {**schema, "summary": rounds[2][0].artifacts["summary"]}
    for shard, written in zip(shards, rounds[3], strict=True):
        inputs[f"applied-{shard.name}"] = written.artifacts["applied"]
        if "dataset" in written.artifacts:  # a shard whose rows are all gone leaves none
            inputs[f"dataset-{shard.name}"] = written.artifacts["dataset"]
    for shard, mapped in zip(shards, rounds[1], strict=True):
        if "vault" in mapped.artifacts:
            inputs[f"vault-{shard.name}"] = mapped.artifacts["vault"]
    putting = spec.model_copy(update={"kind": "assemble", "shards": shards})
    return [Job(spec=putting, inputs=inputs, title="put together")]


def preprocess(
    spec: PreprocessSpec, inputs: Inputs, output: Path, report: ProgressReport, *,
    ray_address: str | None = None, allowed_hooks: Sequence[str] = (), processes: int = 1,
) -> PreprocessResult:  # fmt: skip
    """Clean and cut the dataset; see ``services.preprocess.dataset.preprocess``."""
    from services.preprocess import dataset

    return dataset.preprocess(
        spec, inputs, output, report, ray_address=ray_address, allowed_hooks=allowed_hooks, processes=processes
    )


def join_preprocess(event: DatasetIngested, recipe: Recipe, results: Results) -> DatasetPrepared:
    """The dataset is clean and cut: where it is, how large its parts are, which labels it has.

    Raises:
        InvalidInput: it does not pass the recipe's quality gate.
    """
    done = next(result for result in reversed(results) if result.result.parts)
    reported = results[-1]
    if reported.result.broken:
        refusal = InvalidInput(
            f"the prepared dataset does not pass the quality gate: {'; '.join(reported.result.broken)}; see "
            f"`tidemill datasets report {event.run_id}`, then clean the data or change data.quality in the recipe"
        )
        refusal.evidence = reported.artifacts["report"]
        raise refusal
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
        report=reported.artifacts["report"],
        vault=done.artifacts.get("vault"),
        final=recipe.until == "prepared",
    )

"""Rows to the views that questions are answered with. Pure functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Any

from services.registry.live import Live
from services.registry.tables import AliasEntry, LineageEdge, ModelEntry, RunEntry, StageEntry, VersionEntry
from tidemill.contracts import (
    STAGES,
    ArtifactRef,
    Cost,
    ModelCompressed,
    Prices,
    ResourceUsage,
    StageName,
    cost_of,
)
from tidemill.contracts.queries import DatasetRow, ModelRow, ModelView, RunRow, RunView, StageView, VersionView

_USAGE = tuple(ResourceUsage.model_fields)


def run_row(run: RunEntry, deleted: Set[tuple[str, int]]) -> RunRow:
    """One run in a list; ``deleted`` are the names and numbers of deleted versions."""
    return RunRow.model_validate(
        {
            "run_id": run.run_id,
            "name": run.name,
            "state": run.state,
            "stage": run.stage,
            "created_at": run.created_at,
            "seconds": _seconds(run.created_at, run.ended_at or datetime.now(UTC)),
            "model": run.name if run.version else None,
            "version": run.version,
            "version_deleted": _deleted(run, deleted),
            "error": run.error,
        }
    )


def run_view(
    run: RunEntry,
    stages: Sequence[StageEntry],
    live: Live,
    prices: Prices,
    deleted: Set[tuple[str, int]],
    dataset_deleted: bool,
) -> RunView:
    """Everything about one run."""
    used = usages(run, stages)
    done = {stage.stage: stage for stage in stages}
    ingested, prepared, trained, compressed = (
        done[name].event if name in done else {} for name in ("ingest", "preprocess", "train", "compress")
    )
    return RunView.model_validate(
        {
            "project": run.project,
            "run_id": run.run_id,
            "name": run.name,
            "state": run.state,
            "created_at": run.created_at,
            "ended_at": run.ended_at,
            "seconds": _seconds(run.created_at, run.ended_at or datetime.now(UTC)),
            "stages": [_stage_view(run, name, done, live, used.get(name), prices) for name in _stages(prepared)],
            "error": run.error,
            "error_stage": run.error_stage,
            "model": run.name if run.version else None,
            "version": run.version,
            "version_deleted": _deleted(run, deleted),
            "dataset_deleted": dataset_deleted,
            "promoted": run.promoted,
            "reason": "" if run.state == "failed" else run.reason,
            "metrics": _evaluation(compressed).get("metrics", {}),
            "original": compressed.get("original"),
            "compressed": compressed.get("compressed"),
            "cross_validation": trained.get("cross_validation"),
            "usage": ResourceUsage.total(used.values()),
            "cost": cost_of(used.values(), prices),
            "budget": run.budget,
            "trace_id": _trace_id(run.traceparent),
            "uri": run.uri,
            "rows": ingested.get("rows"),
            "bad_rows": ingested.get("bad_rows", 0),
            "quarantined": ingested.get("quarantine") is not None,
            "labels": prepared.get("labels", []),
        }
    )


def usage(stage: StageEntry) -> ResourceUsage:
    """What a stage used."""
    return ResourceUsage.model_validate({field: getattr(stage, field) for field in _USAGE})


def usages(run: RunEntry, stages: Sequence[StageEntry]) -> dict[str, ResourceUsage]:
    """What each stage of a run used, those that are not done included."""
    done = {stage.stage: usage(stage) for stage in stages}
    return {name: ResourceUsage.model_validate(part) for name, part in run.unfinished.items()} | done


def cost(stages: Sequence[StageEntry], prices: Prices) -> Cost:
    """What the stages of a run cost."""
    return cost_of([usage(stage) for stage in stages], prices)


def version_view(
    version: VersionEntry,
    *,
    aliases: Sequence[AliasEntry],
    stages: Sequence[StageEntry],
    ingested: Sequence[LineageEdge],
    source: Sequence[LineageEdge],
    prices: Prices,
    dataset_deleted: bool,
) -> VersionView:
    """One version of a model with what it came from."""
    event = ModelCompressed.model_validate(version.event)
    return VersionView(
        name=version.name,
        version=version.version,
        aliases=[alias.alias for alias in aliases if alias.version == version.version],
        registered_at=version.registered_at,
        task=event.task,
        run_id=version.run_id,
        model=event.model,
        dataset=event.dataset,
        dataset_deleted=dataset_deleted,
        ingested=parent(ingested),
        source=parent(source),
        recipe=event.recipe,
        metrics=event.evaluation.metrics,
        evaluation=event.evaluation,
        variants=event.variants,
        serving_variant=event.compressed.variant,
        usage=ResourceUsage.total(usage(stage) for stage in stages),
        cost=cost(stages, prices),
    )


def model_view(model: ModelEntry, aliases: Sequence[AliasEntry], versions: list[VersionView]) -> ModelView:
    """A model with its versions."""
    return ModelView(
        name=model.name,
        task=model.task,
        aliases={alias.alias: alias.version for alias in aliases},
        versions=versions,
    )


def model_row(
    model: ModelEntry,
    aliases: Sequence[AliasEntry],
    newest: VersionEntry | None,
    shown: VersionEntry | None,
    count: int,
) -> ModelRow:
    """One model in a list; ``shown`` is the version whose metrics stand for it."""
    champion = next((alias.version for alias in aliases if alias.alias == "champion"), None)
    times = [model.created_at, *(alias.moved_at for alias in aliases), *([newest.registered_at] if newest else [])]
    metrics = _evaluation(shown.event).get("metrics", {}) if shown else {}
    return ModelRow(
        name=model.name, task=model.task, versions=count, champion=champion, metrics=metrics, updated_at=max(times)
    )


def dataset_rows(runs: Sequence[RunEntry], prepared: Sequence[StageEntry], deleted: Set[str]) -> list[DatasetRow]:
    """Datasets by name; ``runs`` and ``prepared`` come oldest first, ``deleted`` are the runs without datasets."""
    by_name: dict[str, list[RunEntry]] = defaultdict(list)
    for run in runs:
        by_name[run.name].append(run)
    kept = {run.run_id: run.name for run in runs if run.run_id not in deleted or run.state == "running"}
    events: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for stage in prepared:
        if stage.run_id in kept:
            events[kept[stage.run_id]].append(stage.event)
    left = set(kept.values())
    return [
        _dataset_row(name, of_name, events[name], deleted=name not in left) for name, of_name in sorted(by_name.items())
    ]


def _dataset_row(
    name: str, runs: Sequence[RunEntry], events: Sequence[Mapping[str, Any]], *, deleted: bool
) -> DatasetRow:
    ingested = [event for event in events if "source" in event]
    refs = [event[role] for event in events for role in ("source", "dataset") if role in event]
    return DatasetRow(
        name=name,
        task=events[-1]["task"] if events else None,
        versions=len({event["dataset"]["digest"] for event in ingested}),
        rows=ingested[-1]["rows"] if ingested else None,
        size_bytes=sum({ref["digest"]: ref["size_bytes"] for ref in refs}.values()),
        runs=len(runs),
        running=sum(run.state == "running" for run in runs),
        deleted=deleted,
        updated_at=max(run.ended_at or run.created_at for run in runs),
    )


def _deleted(run: RunEntry, deleted: Set[tuple[str, int]]) -> bool:
    return run.version is not None and (run.name, run.version) in deleted


def parent(edges: Sequence[LineageEdge]) -> ArtifactRef | None:
    """The artifact at the far end of the first edge."""
    if not edges:
        return None
    edge = edges[0]
    return ArtifactRef.model_validate(
        {"digest": edge.parent, "kind": edge.parent_kind, "size_bytes": edge.parent_size_bytes}
    )


def _stages(prepared: Mapping[str, Any]) -> tuple[StageName, ...]:
    """The stages that a run goes through, as far as is known."""
    return STAGES[: STAGES.index("preprocess") + 1] if prepared.get("final") else STAGES


def _stage_view(
    run: RunEntry,
    name: StageName,
    done: Mapping[str, StageEntry],
    live: Live,
    used: ResourceUsage | None,
    prices: Prices,
) -> StageView:
    stage = done.get(name)
    account: dict[str, Any] = {"usage": used or ResourceUsage(), "cost": cost_of([used] if used else [], prices).total}
    if stage is not None:
        return StageView(
            name=name, state="finished", seconds=_seconds(stage.started_at, stage.finished_at),
            cached=stage.cached, jobs=stage.jobs, fraction=1.0, **account,
        )  # fmt: skip
    if run.stage != name or run.state == "finished":
        return StageView(name=name, state="waiting")
    if run.state == "running":
        fraction, message = live.stage(run.project, run.run_id, name)
        return StageView(name=name, state="running", fraction=fraction, message=message, **account)
    state: Any = run.state
    return StageView(name=name, state=state, message=run.error or run.reason, **account)


def _evaluation(event: Mapping[str, Any]) -> Mapping[str, Any]:
    evaluation: Mapping[str, Any] = event.get("evaluation", {})
    return evaluation


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def _trace_id(traceparent: str | None) -> str | None:
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else None

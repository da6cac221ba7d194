"""Puts the prepared dataset together: what describes its parts, beside the parts that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from services.preprocess.apply import output_columns
from services.preprocess.decisions.fitting import restore
from services.preprocess.decisions.rest import parts_of
from services.preprocess.figures import PartFigures
from services.preprocess.plan import FOLD, ROW, Plan
from services.preprocess.report.document import DuplicatePair, PreparationStatistics
from services.preprocess.spec import PreprocessResult, PreprocessSpec, ShardInfo
from services.preprocess.splits import PARTS
from services.preprocess.tally import StepTally, merged
from services.preprocess.training_texts import words_of_all
from services.preprocess.warnings import warnings_of
from services.preprocess.work import Work, read_json, write_json
from tidemill.datasets import Column, DatasetSchema


def assemble(
    plan: Plan, spec: PreprocessSpec, shards: Sequence[ShardInfo], work: Work, dataset: Path
) -> PreprocessResult:
    """Write ``schema.json``, ``labels.json``, ``features.json`` and ``statistics.json`` into ``dataset``."""
    decided = read_json(work.root / "summary" / "decided.json")
    applied = [read_json(work.applied(shard)) for shard in shards]
    figures = _figures(shards, applied)
    labels = sorted({label for one in figures.values() for label in one.labels})
    fits = restore(plan, decided["fitted"])
    columns = reduce(lambda now, fit: fit.step.columns_after(now, fit.fitted), fits, dict(plan.columns))
    _schema(plan, spec, columns).write(dataset)
    write_json(dataset / "labels.json", labels)
    write_json(dataset / "features.json", {"version": 1, "steps": decided["fitted"]})
    statistics = _statistics(spec, shards, decided, applied, figures, labels)
    write_json(dataset / "statistics.json", statistics.model_dump(mode="json"))
    return PreprocessResult(parts={part: one.rows for part, one in figures.items()}, labels=labels)


def _figures(shards: Sequence[ShardInfo], applied: Sequence[Any]) -> dict[str, PartFigures]:
    total = {part: PartFigures() for part in PARTS}
    for document in applied:
        for part, figures in document["parts"].items():
            total[part].add(PartFigures.model_validate(figures))
    return total


def _schema(plan: Plan, spec: PreprocessSpec, columns: dict[str, Column]) -> DatasetSchema:
    kept = output_columns(plan, columns)
    own = [Column(name=ROW, kind="integer")]
    if spec.data.split.folds is not None:
        own.append(Column(name=FOLD, kind="integer"))
    roles = {role: kept[name].name for role, name in plan.roles.items() if name in kept}
    return DatasetSchema(task=plan.task, roles=roles, columns=[*kept.values(), *own])


def _statistics(
    spec: PreprocessSpec, shards: Sequence[ShardInfo], decided: Any, applied: Sequence[Any],
    figures: dict[str, PartFigures], labels: Sequence[str],
) -> PreparationStatistics:  # fmt: skip
    source: dict[str, int] = {}
    for shard in shards:
        source[shard.part] = source.get(shard.part, 0) + shard.rows
    tallies = [[StepTally.model_validate(tally) for tally in decided["tallies"]]]
    tallies += [[StepTally.model_validate(tally) for tally in document["tallies"]] for document in applied]
    steps = merged(tallies)
    return PreparationStatistics(
        source=source,
        prepared={part: one.rows for part, one in figures.items()},
        source_parts=_source_parts(shards),
        pairs=_pairs(steps, decided, applied),
        steps=steps,
        balance={part: {label: one.labels.get(label, 0) for label in labels} for part, one in figures.items()},
        split={**spec.data.split.model_dump(mode="json"), "kept_together": decided["together"]},
        tokens=words_of_all([document["words"] for document in applied]),
        anonymity=decided["anonymity"],
        features=[f"{fit['name']}: {fit['says']}" for fit in decided["fitted"]],
        warnings=warnings_of(figures, labels),
    )


def _pairs(steps: Sequence[StepTally], decided: Any, applied: Sequence[Any]) -> list[DuplicatePair]:
    """Pairs of rows of which one removed the other; gives the deciding steps their examples too."""
    rows = {number: row for document in applied for number, row in document["shown"].items()}
    names = {step.number: step for step in steps}
    pairs = []
    for pair in decided["pairs"]:
        step, row, of = names[pair["step"]], rows[str(pair["row"])], rows[str(pair["of"])]
        step.show([row])
        pairs.append(DuplicatePair(reason=step.name, row=row, of=of, similarity=pair["similarity"]))
    for example in decided["examples"]:
        names[example["step"]].show([rows[str(example["row"])]])
    return pairs


def _source_parts(shards: Sequence[ShardInfo]) -> dict[str, str]:
    given = {shard.part for shard in shards}
    found: dict[str, str] = {}
    for shard in shards:
        for part in parts_of(shard):
            if part in given or part not in found:
                found[part] = part if part in given else shard.part
    return {part: found[part] for part in PARTS if part in found}

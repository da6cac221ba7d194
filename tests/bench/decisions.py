"""How a project's chain of decisions weighs on the registry as it grows: memory, and looking things up in it.

`make bench-decisions`. The registry keeps the whole chain of every project in memory and walks through it at each
registration; this tells how many models a project can register before the registry does nothing else.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime

import psutil

from services.registry import chain as decided
from tidemill.contracts import (
    ArtifactRef,
    ClassMetrics,
    EvaluationSummary,
    ModelCompressed,
    ResourceUsage,
    VariantFigures,
)
from tidemill.records.schema import AliasMoved, DecisionRecord, VersionRegistered

MB = 2**20
MODELS = 1000
"""Names that the versions belong to."""


def link(number: int, labels: int) -> str:
    """The JSON of one version's registration, judged on ``labels`` classes, as the store holds it."""
    names = [f"label-{label:03}" for label in range(labels)]
    evaluation = EvaluationSummary(
        part="test", examples=1000, metrics={"accuracy": 0.9, "macro_f1": 0.9, "loss": 0.3}, labels=names,
        classes=[ClassMetrics(label=name, precision=0.9, recall=0.9, f1=0.9, support=50) for name in names],
        confusion=[[row * column % 7 for column in range(labels)] for row in range(labels)],
    )  # fmt: skip
    artifact = ArtifactRef(digest=f"sha256:{number:064x}", kind="model", size_bytes=1_000_000)
    figures = VariantFigures(
        variant="onnx-int8", size_bytes=250_000, p50_ms=1.0, p95_ms=1.5, throughput=1000.0, threads=1,
        metrics=evaluation.metrics, test_metrics=evaluation.metrics, agreement=0.99,
    )  # fmt: skip
    event = ModelCompressed(
        run_id=f"run-{number:08}", name=f"model-{number % MODELS:04}", recipe=artifact, usage=ResourceUsage(),
        dataset=artifact, trained=artifact, model=artifact, task="text-classification", evaluation=evaluation,
        original=figures, compressed=figures, variants=[figures, figures],
    )  # fmt: skip
    decision = VersionRegistered(name=event.name, version=number // MODELS + 1, run_id=event.run_id, event=event)
    record = DecisionRecord(
        sequence=number + 1, previous="0" * 64, digest="0" * 64, decision=decision, at=datetime.now(UTC)
    )
    return record.model_dump_json()


def moved(number: int) -> str:
    """The JSON of the promotion that goes with it."""
    decision = AliasMoved(
        name=f"model-{number % MODELS:04}", alias=decided.CHAMPION, version=number // MODELS + 1,
        previous=number // MODELS or None, reason="better by 1.2 points than the champion", run_id=f"run-{number:08}",
    )  # fmt: skip
    record = DecisionRecord(
        sequence=number + 1, previous="0" * 64, digest="0" * 64, decision=decision, at=datetime.now(UTC)
    )
    return record.model_dump_json()


def registration(chain: list[DecisionRecord], number: int) -> None:
    """The look-ups of one registration with promotion, as ``services.registry`` makes them, on the whole chain."""
    name, run_id = f"model-{number % MODELS:04}", "run-new"
    decided.version_of(list(chain), name, run_id=run_id, digest="sha256:" + "f" * 64)
    decided.next_number(chain, name)
    decided.moved_by(list(chain), name, decided.CHAMPION, run_id)
    decided.deleted_versions(chain, name)
    decided.target(chain, name, decided.CHAMPION)
    decided.target(list(chain), name, decided.CHAMPION)  # what is deployed
    decided.numbered(list(chain), name, 1)
    decided.moved_by(chain, name, decided.CHAMPION, run_id)


def main(sizes: list[int], labels: int) -> None:
    registered, promoted = len(link(1, labels)), len(moved(1))
    print(f"a registration with {labels} labels: {registered:,} bytes of JSON, its promotion {promoted:,}")
    print(f"{'decisions':>10} {'resident MB':>12} {'KB each':>8} {'parsing, s CPU':>15} {'a registration, ms CPU':>23}")
    chain: list[DecisionRecord] = []
    process = psutil.Process()
    empty = process.memory_info().rss
    parsing = 0.0
    for size in sizes:
        while len(chain) < size:
            texts = (link(len(chain), labels), moved(len(chain) + 1))
            begun = time.process_time()
            chain += [DecisionRecord.model_validate(json.loads(text)) for text in texts]
            parsing += time.process_time() - begun
        begun, times = time.process_time(), 0
        while times < 3 or time.process_time() - begun < 1.0:
            registration(chain, times)
            times += 1
        spent = (time.process_time() - begun) / times * 1000
        held = process.memory_info().rss - empty
        print(f"{size:10,} {held / MB:12,.0f} {held / size / 1024:8.1f} {parsing:15.1f} {spent:23.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--labels", type=int, default=2)
    given = parser.parse_args()
    main(given.sizes, given.labels)

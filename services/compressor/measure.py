"""Latency and throughput of several models side by side, in one interleaved run.

Machines change their speed from second to second (clock, neighbours, caches). Every model gets its turn in every
round, so that what slows one slows all, and ratios hold where absolute times do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Inputs = Mapping[str, NDArray[Any]]
Run = Callable[[Inputs], object]

CALLS_PER_TURN = 5
MIN_ROUNDS = 6
THROUGHPUT_EVERY = 4
"""Rounds between two turns of the large batch, which takes as long as many single calls."""


@dataclass(frozen=True)
class Timing:
    """p50 and p95 of single calls in milliseconds; examples per second of the large batch (median)."""

    p50_ms: float
    p95_ms: float
    throughput: float


@dataclass
class _Samples:
    single: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)


def measure(
    models: Mapping[str, Run],
    single: Inputs,
    batch: Inputs,
    *,
    seconds: float,
    max_rounds: int,
    progress: Callable[[float], None] = lambda fraction: None,
) -> dict[str, Timing]:
    """Time every model on ``single`` (batch 1) and ``batch``, in turns.

    Ends after ``max_rounds`` or, once there are ``MIN_ROUNDS``, when ``seconds`` (above 0) have passed. The order of
    the turns changes from round to round, so that no model always runs in the wake of the same neighbour.
    """
    names = list(models)
    samples = {name: _Samples() for name in names}
    rows = len(next(iter(batch.values())))
    for run in models.values():
        run(single)
        run(batch)
    started = time.perf_counter()
    for number in range(max_rounds):
        elapsed = time.perf_counter() - started
        if number >= MIN_ROUNDS and elapsed >= seconds:
            break
        progress(min(1.0, max(number / max_rounds, elapsed / seconds)))
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            _turn(models[name], single, batch, samples[name], with_batch=number % THROUGHPUT_EVERY == 0)
    return {
        name: Timing(
            p50_ms=float(np.median(taken.single) * 1e3),
            p95_ms=float(np.percentile(taken.single, 95) * 1e3),
            throughput=float(rows / np.median(taken.batch)),
        )
        for name, taken in samples.items()
    }


def _turn(run: Run, single: Inputs, batch: Inputs, samples: _Samples, *, with_batch: bool) -> None:
    # The first call finds the caches full of another model's weights; a server that is busy does not.
    run(single)
    for _ in range(CALLS_PER_TURN):
        samples.single.append(_seconds(run, single))
    if with_batch:
        samples.batch.append(_seconds(run, batch))


def _seconds(run: Run, inputs: Inputs) -> float:
    started = time.perf_counter()
    run(inputs)
    return time.perf_counter() - started


def timing_inputs(rows: Inputs, *, batch: int, length: int) -> dict[str, NDArray[Any]]:
    """``batch`` rows of ``length`` real tokens without padding, taken from ``rows`` and repeated as needed."""
    used = rows["attention_mask"].astype(bool)
    return {name: np.resize(array[used], (batch, length)) for name, array in rows.items()}

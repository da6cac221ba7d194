"""How a job of the suite behaves: as usual, slowly, or killing its process every time. Runs in the job's child.

A job's spec holds no names, so the recipe's numbers say it: the number of each stage is read from a field of its spec.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from tidemill.errors import HandedBack
from tidemill.jobs.report import Inputs, ProgressReport

NUMBERS = {"plain": 101, "slow": 102, "poison": 103}
SLOW_SECONDS = 4.0


def behave(spec: Any, inputs: Inputs, output: Path, report: ProgressReport, *, stage: str, work: Any) -> Any:
    """``work``, after what the recipe says: nothing, seconds that can be handed back, or the end of this process."""
    number = told_number(stage, spec)
    if number == NUMBERS["poison"]:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == NUMBERS["slow"] and stage != "train":  # a slow training has more epochs, with checkpoints
        _take_time(report)
    return work(spec, inputs, output, report)


def told_number(stage: str, spec: Any) -> int:
    """The number that is meant for ``stage``."""
    match stage:
        case "ingest":
            return round(spec.recipe.training.weight_decay * 1e6)
        case "preprocess":
            return int(spec.data.split.seed)
        case "train":
            return int(spec.training.seed)
        case _:
            return int(spec.compression.calibration_examples)


def _take_time(report: ProgressReport) -> None:
    until = time.monotonic() + SLOW_SECONDS
    while (left := until - time.monotonic()) > 0:
        if report.stop_requested:
            raise HandedBack("the worker leaves; there is nothing to resume")
        report.progress(max(0.0, 1 - left / SLOW_SECONDS) * 0.5, "taking its time")
        time.sleep(0.1)

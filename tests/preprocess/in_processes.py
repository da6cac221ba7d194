"""Prepares ``argv[1]/ingested`` into ``argv[1]/output`` in ``argv[2]`` processes, as a job does.

A process of its own, since with more than one no other frame may have been computed in it before. With a flag
file and a number a process is ended, as by a fault in native code, while it makes the frame of that number.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from services.preprocess import passes
from services.preprocess.spec import PreprocessSpec
from services.preprocess.stage import preprocess_stage
from tidemill.contracts import parse_recipe
from tidemill.jobs.report import Inputs, SilentReport


def main(folder: Path, processes: int) -> None:
    recipe = parse_recipe(json.loads((folder / "recipe.json").read_text(encoding="utf-8")))
    stage = preprocess_stage(processes=processes)
    spec = PreprocessSpec.of("text-classification", recipe)
    stage.work(spec, Inputs({"dataset": folder / "ingested"}), folder / "output", SilentReport())


def fault_once(flag: Path, frame: int) -> None:
    """One process, that of the first such frame, ends."""
    keys, made = passes._keys, []

    def faulty(*arguments: Any) -> Any:
        made.append(os.getpid())
        if made.count(os.getpid()) == frame and not flag.exists():
            flag.touch()
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGSEGV)
        return keys(*arguments)

    passes._keys = faulty


if __name__ == "__main__":
    if len(sys.argv) > 3:
        fault_once(Path(sys.argv[3]), int(sys.argv[4]))
    main(Path(sys.argv[1]), int(sys.argv[2]))

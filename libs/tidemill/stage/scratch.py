"""Scratch folders of stage processes: one each, named by process id, and swept when their process is gone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil


def own_scratch(data_dir: Path, stage: str) -> Path:
    """This process's scratch folder, not made yet; what processes that were killed left behind is removed.

    The data directory belongs to one machine, so a process id tells whether its owner still lives.
    """
    folder = data_dir / "scratch"
    own = folder / f"{stage}-{os.getpid()}"
    for left in folder.glob(f"{stage}-*"):
        pid = left.name.removeprefix(f"{stage}-")
        if left == own or (pid.isdigit() and not psutil.pid_exists(int(pid))):
            shutil.rmtree(left, ignore_errors=True)
    return own

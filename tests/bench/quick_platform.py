"""``tidemill up`` with training and compression that cost next to nothing: what is left is the platform.

``python -m tests.bench.quick_platform DATA_DIR`` runs until SIGTERM; ``start_quick`` starts it and waits. Everything
but the two domain functions is the product's own (see ``tests.faults.quick``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import tidemill
from tests.pipeline.conftest import Whole
from tidemill.platform.data_dir import DataDir, PlatformRecord
from tidemill.platform.programs import HEAVY, PlatformOptions
from tidemill.platform.supervisor import Program
from tidemill.platform.up import platform_programs, run_platform

REPOSITORY = Path(__file__).resolve().parents[2]


def quick_programs(data: DataDir, options: PlatformOptions, record: PlatformRecord) -> list[Program]:
    """The platform's programs, trainer and compressor with quick work."""
    return [
        replace(program, command=_quick(program.name.partition("-")[0])) if program.name.startswith(HEAVY) else program
        for program in platform_programs(data, options, record)
    ]


def _quick(service: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "tests.faults.replica", service, "--work=quick")


def start_quick(folder: Path, *, ack_wait: str) -> Whole:
    """A quick platform in ``folder``, ended as any other: with ``tidemill down``."""
    environment = os.environ | {
        "TIDEMILL_DATA_DIR": str(folder), "TIDEMILL_ACK_WAIT": ack_wait,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "libs"), str(REPOSITORY)]),
    }  # fmt: skip
    supervisor = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.bench.quick_platform", str(folder)],
        env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while (record := DataDir(folder).record()) is None or record.state != "ready":
        assert supervisor.poll() is None, "the platform did not start"
        assert time.monotonic() < deadline, "the platform is not ready"
        time.sleep(0.1)
    return Whole(folder, tidemill.connect(data_dir=folder), environment)


if __name__ == "__main__":
    run_platform(
        DataDir(Path(sys.argv[1])), PlatformOptions(port=0), said=print, ready=lambda _: None,
        programs_for=quick_programs,
    )  # fmt: skip

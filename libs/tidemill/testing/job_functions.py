"""Tiny domain functions for the tests of jobs. They are here because a child process cannot import a test module."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from pydantic import BaseModel

from tidemill import telemetry
from tidemill.errors import HandedBack, InvalidInput, TransientError
from tidemill.jobs.report import Inputs, ProgressReport

LOADED_IN = os.getpid()
"""The process that imported this module first: the forkserver's id in a child that did not pay for the import."""

ASLEEP = 600


class Spec(BaseModel):
    """What the functions are told."""

    text: str = ""
    number: int = 0


class Summary(BaseModel):
    """What the functions answer."""

    text: str
    pid: int
    loaded_in: int


class RottenRow(InvalidInput):
    """A special error of a domain."""


def answer(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> Summary:
    """Write the spec's text, print it, log it, and say who this is."""
    (output / "text.txt").write_text(spec.text, encoding="utf-8")
    print("printed", spec.text)
    os.write(2, b"half a line, a progress bar 10%\rprogress bar 100%\nno newline at the end")
    logging.getLogger("domain").warning("logged %s", spec.text)
    return Summary(text=spec.text, pid=os.getpid(), loaded_in=LOADED_IN)


def scaled(factor: int, spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> int:
    """Take one more argument, for ``functools.partial``."""
    return factor * spec.number


def variables(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> list[str]:
    """The names of the environment's variables that begin with ``text``."""
    return sorted(name for name in os.environ if name.startswith(spec.text))


def snapshot(text: str, into: Path, report: ProgressReport) -> None:
    """Has the shape of a stage's ``snapshot``."""
    (into / "snapshot.txt").write_text(text, encoding="utf-8")


def chatter(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Report ``number`` times in a row, metrics every hundredth time."""
    for step in range(spec.number):
        metrics = {"loss": 1 / (step + 1)} if step % 100 == 0 else None
        report.progress(step / spec.number, f"step {step}", metrics)


def rotten(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Raise a domain's own error."""
    raise RottenRow(spec.text)


def unforeseen(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Raise something that is no Tidemill error."""
    with telemetry.span("look up"):
        raise KeyError(spec.text)


def out_of_memory(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Ask for more memory than there is."""
    raise MemoryError("cannot allocate 9 TB")


def unpicklable(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> object:
    """Return what cannot be sent."""
    return threading.Lock()


def leave(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """End the process behind everybody's back."""
    os._exit(spec.number)


def segfault(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Read address 0."""
    print("about to fall")
    ctypes.string_at(0)


def kill_itself(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Die as the kernel's out-of-memory killer would have it."""
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


def family(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Start a process in this group and one in a session of its own, report all ids, and sleep."""
    sleeper = [sys.executable, "-S", "-c", f"import time; time.sleep({ASLEEP})"]
    near = subprocess.Popen(sleeper)
    far = subprocess.Popen(sleeper, start_new_session=True)
    report.progress(None, " ".join(str(pid) for pid in (os.getpid(), near.pid, far.pid)))
    if spec.text == "return":
        return
    time.sleep(ASLEEP)


def spin(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Be busy for ever in Python code; report the process id first."""
    report.progress(None, str(os.getpid()))
    while True:
        pass


def until_stopped(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Save a checkpoint when asked to stop, and hand back."""
    report.progress(0.5, "working")
    while not report.stop_requested:
        time.sleep(0.01)
    checkpoint = output / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "state.txt").write_text("step 7", encoding="utf-8")
    report.checkpoint(checkpoint)
    raise HandedBack(f"stopped at {spec.text}")


def deaf(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Never look at ``stop_requested``."""
    report.progress(0.5, "working")
    time.sleep(ASLEEP)


def checkpoint(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> str:
    """Hand over a checkpoint, and say what became of it."""
    try:
        report.checkpoint(output)
    except TransientError as error:
        return f"refused: {error}"
    return "stored"


def work_hard(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> float:
    """Use ``number`` MB of memory and half a second of processor here, as much again in a child; return seconds."""
    ballast = bytearray(spec.number * 2**20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    code = f"""
import time
ballast = b"x" * ({spec.number} * 2**20)
while time.process_time() < 0.5:
    pass
"""
    subprocess.run([sys.executable, "-S", "-c", code], check=True)
    while time.process_time() < 0.5:
        pass
    (output / "bytes.bin").write_bytes(bytes(3 * 2**20))
    return time.process_time()


def traced(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Open two spans, one in the other."""
    with telemetry.span("outer", rows=spec.number), telemetry.span("inner 内"):
        pass


def multiply(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> tuple[int, float]:
    """Multiply matrices with torch on all threads; return their number and the sum of the product."""
    import torch

    ones = torch.ones(spec.number, spec.number)
    return torch.get_num_threads(), float((ones @ ones).sum())


def hold_gpu(spec: Spec, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Hold memory of the first GPU for ``number`` seconds."""
    import torch

    held = torch.ones(1024, device="cuda")
    time.sleep(spec.number)
    del held

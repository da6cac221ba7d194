"""What one look came to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Verdict:
    """``clean``: looked at, nothing found. ``found``: see the lines. ``unknown``: it could not be looked at."""

    title: str
    state: Literal["clean", "found", "unknown"]
    lines: list[str] = field(default_factory=list)


def run(tool: Path, arguments: Sequence[str], *, cwd: Path, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """A tool's output; it is up to the caller what its exit status means."""
    # The tools have an environment of their own, which must not find our modules.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(tool.absolute()), *arguments], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=timeout, check=False,
    )  # fmt: skip


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it said nothing"


def why_not(tool: str, error: Exception) -> str:
    """Why a tool did not come to an end, without its arguments."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{tool} did not come to an end within {error.timeout:.0f} s"
    return f"{tool} cannot be run: {error}"

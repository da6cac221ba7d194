"""What a domain function sees of the platform: its inputs, and a report to write to. Nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Inputs:
    """The inputs of a job as read-only local directories, by the names that the plan gave them.

    ``checkpoint`` is the directory of the last checkpoint that an interrupted attempt of the same job left, if any.
    """

    paths: Mapping[str, Path] = field(default_factory=dict)
    checkpoint: Path | None = None
    step: tuple[int, Path] | None = None
    """The last of the job's steps whose outcome is known, and the directory that was kept of it."""

    def __getitem__(self, name: str) -> Path:
        return self.paths[name]


class ProgressReport(Protocol):
    """How a domain function says how far it is; safe to call often (progress is rate-limited, metrics are not)."""

    def progress(self, fraction: float | None, message: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """``fraction`` of the whole job in 0..1 or None when unknown; ``message`` is one short line for a person."""

    def checkpoint(self, directory: Path) -> None:
        """Hand over a complete checkpoint; returns when it is stored durably. The caller may then delete it."""

    @property
    def keeps_steps(self) -> bool:
        """Whether ``step`` keeps what it is given, so that it is worth writing."""

    def step(self, number: int, directory: Path) -> None:
        """Hand over the outcome of step ``number`` (from 0) of the job, as ``checkpoint`` does."""

    @property
    def stop_requested(self) -> bool:
        """True when the worker wants to leave: save a checkpoint if you can and raise ``HandedBack``."""


class SilentReport:
    """A report for use outside a worker: ignores progress, keeps no checkpoints, never asks to stop."""

    stop_requested = False
    keeps_steps = False

    def progress(self, fraction: float | None, message: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """Ignore the progress."""

    def checkpoint(self, directory: Path) -> None:
        """Ignore the checkpoint."""

    def step(self, number: int, directory: Path) -> None:
        """Ignore the outcome of the step."""

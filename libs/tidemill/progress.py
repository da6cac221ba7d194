"""How far something long is, for whoever waits for it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of every step: what is being done, how much of it is done and how much there is."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """``what`` names the step; ``done`` grows to ``total``."""


def silent(what: str, done: int, total: int) -> None:
    """For nobody."""

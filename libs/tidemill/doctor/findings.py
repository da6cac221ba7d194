"""What a check says: one sentence for a person, and the next thing to do."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

State = Literal["ok", "warning", "failed", "skipped"]


class Finding(BaseModel):
    """One thing that a check found. ``advice`` says what to do, empty when there is nothing to do."""

    model_config = ConfigDict(frozen=True)

    state: State
    message: str
    advice: str = ""


def ok(message: str) -> Finding:
    """All is well, or a figure to know."""
    return Finding(state="ok", message=message)


def warning(message: str, advice: str) -> Finding:
    """It works, and will not for long or not for everybody."""
    return Finding(state="warning", message=message, advice=advice)


def failed(message: str, advice: str) -> Finding:
    """Something does not work."""
    return Finding(state="failed", message=message, advice=advice)


def skipped(reason: str) -> Finding:
    """It could not be looked at."""
    return Finding(state="skipped", message=reason)

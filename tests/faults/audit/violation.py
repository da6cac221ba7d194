"""What an audit finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Sort = Literal[
    "lost",
    "duplicate",
    "untruthful",
    "half-written",
    "lease",
    "orphan",
    "dead-letter",
    "trace",
    "usage",
    "backlog",
    "recovery",
]


@dataclass(frozen=True)
class Violation:
    """One broken promise: which, of which run, and what was seen."""

    sort: Sort
    run_id: str
    seen: str

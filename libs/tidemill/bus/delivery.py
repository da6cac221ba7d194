"""A delivery: one message as a handler gets it, without the client that brought it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Delivery:
    """One delivery of one message. ``deliveries`` counts from 1; ``sequence`` and ``stored_at`` name the message."""

    subject: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: str = ""
    sequence: int = 0
    stored_at: datetime | None = None
    deliveries: int = 1

"""A finished span as plain data: what a child process sends, what a span file holds. Knows no OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SpanStatus = Literal["unset", "ok", "error"]
AttributeValue = str | bool | int | float | list[str] | list[bool] | list[int] | list[float]


@dataclass(frozen=True)
class SpanEvent:
    """Something that happened at one moment of a span; an exception, mostly."""

    name: str
    time_ns: int
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True)
class SpanRecord:
    """One finished span. Ids are lower-case hexadecimal (32 and 16 digits), times nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    service: str
    instance: str
    start_ns: int
    end_ns: int
    kind: str = "internal"
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    status: SpanStatus = "unset"
    status_message: str = ""
    events: tuple[SpanEvent, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        document["attributes"] = dict(self.attributes)
        document["events"] = [asdict(event) for event in self.events]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SpanRecord:
        """Back from ``to_json``; keys that it does not know are left out.

        Raises:
            KeyError, TypeError, ValueError: not a span.
        """
        known = {key: document[key] for key in cls.__dataclass_fields__ if key in document}
        known["start_ns"], known["end_ns"] = int(document["start_ns"]), int(document["end_ns"])
        known["events"] = tuple(
            SpanEvent(event["name"], int(event["time_ns"]), event.get("attributes", {}))
            for event in document.get("events", ())
        )
        return cls(**known)

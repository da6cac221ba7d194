"""Events on the wire: JSON with CloudEvents 1.0 headers (NATS protocol binding, binary mode).

The parser also takes structured CloudEvents and bare JSON without headers, so that any NATS client can publish by
hand. Source: CloudEvents 1.0.2 and its NATS Protocol Binding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from tidemill.contracts import EVENTS, DatasetPublished, Event
from tidemill.errors import PermanentError

SPEC_VERSION = "1.0"
STRUCTURED = "application/cloudevents+json"
_BOM = b"\xef\xbb\xbf"


class MalformedEvent(PermanentError):
    """The message on an event subject is not a valid event; names the field and what it should be."""


def event_id(event: Event, fingerprint: str, announcement: int) -> str:
    """``ce-id``: the same fact of the same run gets the same id, so a redelivered stage does not announce twice."""
    parts = (event.project, event.run_id, event.subject, fingerprint, str(announcement))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def event_headers(event: Event, *, source: str, fingerprint: str, announcement: int = 1) -> dict[str, str]:
    """CloudEvents headers of ``event``; ``Nats-Msg-Id`` equals ``ce-id``."""
    identity = event_id(event, fingerprint, announcement)
    return {
        "ce-specversion": SPEC_VERSION,
        "ce-id": identity,
        "ce-type": event.subject,
        "ce-source": f"/tidemill/{source}",
        "ce-time": datetime.now(UTC).isoformat(),
        "content-type": "application/json",
        "Nats-Msg-Id": identity,
    }


def derived_run_id(stream: str, sequence: int, stored_at: datetime) -> str:
    """Run id of a bare publish: the same for every redelivery, another when the stream was made anew."""
    seed = f"{stream}:{sequence}:{stored_at.timestamp():.6f}"
    return "run-" + hashlib.sha256(seed.encode()).hexdigest()[:16]


def parse_event(subject: str, body: bytes, headers: Mapping[str, str] | None, *, run_id: str | None = None) -> Event:
    """The event in a message. ``run_id`` is used when a ``DatasetPublished`` has none.

    Raises:
        MalformedEvent: not JSON, not an object, a field that is missing or wrong, or an unknown subject.
    """
    kind = EVENTS.get(subject)
    if kind is None:
        raise MalformedEvent(f"{subject}: no event has this subject; known: {', '.join(sorted(EVENTS))}")
    data = _data(subject, body, headers or {})
    if kind is DatasetPublished and run_id is not None:
        data.setdefault("run_id", run_id)
    try:
        return kind.model_validate(data)
    except ValidationError as invalid:
        raise MalformedEvent(f"{subject}: {_sentence(invalid)}") from None


def _data(subject: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    try:
        # Strict, unlike json.loads: NaN, lone surrogates and thousands of brackets could be read, and not be kept.
        document = from_json(body.removeprefix(_BOM), allow_inf_nan=False)
    except ValueError as error:
        raise MalformedEvent(f"{subject}: the message is not JSON ({error})") from None
    if not isinstance(document, dict):
        raise MalformedEvent(f"{subject}: the message must be a JSON object, not {type(document).__name__}")
    lowered = {name.lower(): value for name, value in headers.items()}
    if lowered.get("ce-type", subject) != subject:
        raise MalformedEvent(f"{subject}: the header ce-type says {lowered['ce-type']!r}; it must be the subject")
    structured = lowered.get("content-type", "").startswith(STRUCTURED) or (
        "specversion" in document and "data" in document
    )
    if not structured:
        return document
    if document.get("type", subject) != subject:
        raise MalformedEvent(f"{subject}: the CloudEvent's type is {document['type']!r}; it must be the subject")
    data = document.get("data")
    if not isinstance(data, dict):
        raise MalformedEvent(f"{subject}: the CloudEvent's data must be a JSON object")
    return dict(data)


def _sentence(invalid: ValidationError) -> str:
    return "; ".join(
        f"field {'.'.join(map(str, error['loc'])) or '(event)'}: {error['msg'].removeprefix('Value error, ')}"
        for error in invalid.errors()
    )

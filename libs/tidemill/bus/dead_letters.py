"""Dead letters: messages that nobody could handle, kept with their error.

The record in the bucket is the truth: it outlives the stream ``DEAD``, which only tells whoever listens. There the
message's bytes and headers are as they came; what happened is in ``Tidemill-…`` headers (errors percent-encoded, since
NATS headers are one line of ASCII).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from tidemill.bus.subjects import DEAD, dead_subject
from tidemill.errors import PermanentError, TransientError
from tidemill.records.schema import DeadLetterRecord
from tidemill.telemetry import measures

if TYPE_CHECKING:
    from tidemill.bus.connection import Bus
    from tidemill.bus.delivery import Delivery
    from tidemill.records import RecordStore

LETTER_HEADER = "Tidemill-Letter"
"""The dead letter's id, on its message in ``DEAD``."""

_LONGEST_ERROR = 4000
_LONGEST_TOLD = 512 * 1024
_OWN_HEADERS = ("nats-", "tidemill-", "traceparent", "tracestate")


async def bury(
    bus: Bus,
    records: RecordStore,
    *,
    stage: str,
    delivery: Delivery,
    error: str,
    kind: str,
    run_id: str | None = None,
    project: str = "default",
    epoch: int = 1,
) -> None:
    """Put a message on record as a dead letter, then tell; the same message of the same epoch of a run is kept once.

    Raises:
        TransientError: it could not be put on record, or told; the message must not be acknowledged then.
    """
    letter = DeadLetterRecord(
        id=letter_id(stage, delivery, run_id, epoch),
        subject=delivery.subject,
        stage=stage,
        error=error[:_LONGEST_ERROR],
        kind=kind,
        run_id=run_id,
        epoch=epoch,
        at=datetime.now(UTC),
        headers={name: value for name, value in delivery.headers.items() if not _is_own(name)},
        body=delivery.body,
    )
    try:
        kept = await records.letters.keep(project, letter)
    except PermanentError as refused:  # a store that refuses us must not cost the message
        raise TransientError(f"a dead letter of {stage} cannot be recorded: {refused}; its error: {error}") from refused
    if kept is letter:
        measures.DEAD_LETTERS.record(1, {measures.STAGE: stage, measures.KIND: kind})
    letter = kept
    headers = letter.headers | {
        "Nats-Msg-Id": f"letter-{letter.id}",
        LETTER_HEADER: letter.id,
        "Tidemill-Subject": letter.subject,
        "Tidemill-Stage": stage,
        "Tidemill-Error": quote(letter.error),
        "Tidemill-Kind": letter.kind,
        "Tidemill-Project": quote(project),
        "Tidemill-At": letter.at.isoformat(),
    }
    if run_id is not None:
        headers["Tidemill-Run-Id"] = run_id
    told = letter.body if len(letter.body) <= _LONGEST_TOLD else b""  # the record has it all
    await bus.publish_durably(DEAD, dead_subject(stage), told, headers)


def letter_id(stage: str, delivery: Delivery, run_id: str | None, epoch: int) -> str:
    """The id of what ``stage`` could not handle: the same for every delivery of it."""
    identity = f"{stage}\n{delivery.subject}\n{run_id}\n{epoch}\n".encode() + delivery.body
    if run_id is None:
        # With the time, since a stream that was made anew counts from one again.
        stored = delivery.stored_at.timestamp() if delivery.stored_at else 0.0
        identity += f"\n{delivery.stream}:{delivery.sequence}:{stored:.6f}".encode()
    return hashlib.sha256(identity).hexdigest()[:16]


def _is_own(header: str) -> bool:
    return header.lower().startswith(_OWN_HEADERS)

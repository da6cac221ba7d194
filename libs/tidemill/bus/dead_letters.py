"""Dead letters: messages that nobody could handle, kept with their error in the stream ``DEAD``.

The message's bytes and headers are kept as they came; what happened is in ``Tidemill-…`` headers (errors
percent-encoded, since NATS headers are one line of ASCII). The sequence in ``DEAD`` is the dead letter's id.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from tidemill.bus.subjects import DEAD, dead_subject

if TYPE_CHECKING:
    from tidemill.bus.connection import Bus
    from tidemill.bus.delivery import Delivery

_LONGEST_ERROR = 4000
_OWN_HEADERS = ("nats-", "tidemill-", "traceparent", "tracestate")


async def bury(
    bus: Bus,
    *,
    stage: str,
    delivery: Delivery,
    error: str,
    kind: str,
    run_id: str | None = None,
    project: str = "default",
    epoch: int = 1,
) -> None:
    """Keep a message in the dead letters; the same message of the same epoch of a run is kept once.

    Raises:
        TransientError: the stream did not take it; the message must not be acknowledged then.
    """
    identity = f"{stage}\n{delivery.subject}\n{run_id}\n{epoch}\n".encode() + delivery.body
    if run_id is None:
        identity += f"\n{delivery.stream}:{delivery.sequence}".encode()
    kept = {name: value for name, value in delivery.headers.items() if not name.lower().startswith(_OWN_HEADERS)}
    headers = kept | {
        "Nats-Msg-Id": hashlib.sha256(identity).hexdigest()[:32],
        "Tidemill-Subject": delivery.subject,
        "Tidemill-Stage": stage,
        "Tidemill-Error": quote(error[:_LONGEST_ERROR]),
        "Tidemill-Kind": kind,
        "Tidemill-Project": quote(project),
        "Tidemill-At": datetime.now(UTC).isoformat(),
    }
    if run_id is not None:
        headers["Tidemill-Run-Id"] = run_id
    await bus.publish_durably(DEAD, dead_subject(stage), delivery.body, headers)

"""Reading, replaying and removing dead letters: messages of the stream ``DEAD`` by their sequence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

import nats.errors
import nats.js.errors
from nats.js.api import RawStreamMsg
from pydantic import TypeAdapter, ValidationError

from tidemill.bus import Bus
from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.subjects import DEAD, EVENTS, JOBS
from tidemill.contracts import RunId
from tidemill.contracts.queries import DeadLetterView
from tidemill.errors import InvalidInput, NotFound, TransientError

LONGEST_DATA = 4000
_LOOKED_AT = 2000
"""Most sequences that one list looks at: other projects' letters and removed ones lie between."""
_OWN_HEADERS = ("nats-", "tidemill-")
_RUN_ID: TypeAdapter[str] = TypeAdapter(RunId)


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter as it is kept."""

    view: DeadLetterView
    project: str
    body: bytes
    headers: dict[str, str]
    """The headers that the message came with."""


class DeadLetters:
    """The stream ``DEAD``."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def newest(self, project: str, limit: int) -> list[DeadLetterView]:
        """The latest dead letters of a project, newest first.

        Raises:
            TransientError: the stream cannot be read.
        """
        try:
            state = (await self._bus.jetstream.stream_info(DEAD)).state
        except UNREACHABLE as error:
            raise TransientError(f"the dead letters cannot be read: {error!r}") from error
        found: list[DeadLetterView] = []
        lowest = max(state.first_seq, state.last_seq - _LOOKED_AT + 1, 1)
        for sequence in range(state.last_seq, lowest - 1, -1):
            letter = await self.get(sequence)
            if letter is not None and letter.project == project:
                found.append(letter.view)
            if len(found) >= limit:
                break
        return found

    async def get(self, sequence: int) -> DeadLetter | None:
        """The dead letter of that id, or None.

        Raises:
            TransientError: the stream cannot be read.
        """
        try:
            return _letter(await self._bus.jetstream.get_msg(DEAD, sequence))
        except nats.js.errors.NotFoundError:
            return None
        except UNREACHABLE as error:
            raise TransientError(f"dead letter {sequence} cannot be read: {error!r}") from error

    async def replay(self, letter: DeadLetter, identity: str) -> None:
        """Publish the message again where it came from, under the new id ``identity``, and take it off the list.

        Raises:
            InvalidInput: it did not come from a stream.
            TransientError: a stream cannot be reached; replaying again under the same ``identity`` publishes once.
        """
        subject = letter.view.subject
        if not subject.startswith("tidemill."):
            raise InvalidInput(f"dead letter {letter.view.id} came on {subject!r}, which is no subject of Tidemill")
        stream = JOBS if subject.startswith("tidemill.job.") else EVENTS
        headers = letter.headers | {"Nats-Msg-Id": identity}
        if "ce-id" in headers:
            headers["ce-id"] = identity  # a stage queues its jobs once for each id of its event
        await self._bus.publish_durably(stream, subject, letter.body, headers)
        try:
            await self._bus.jetstream.delete_msg(DEAD, letter.view.id)
        except nats.js.errors.NotFoundError:
            return
        except UNREACHABLE as error:
            raise TransientError(f"dead letter {letter.view.id} cannot be removed: {error!r}") from error

    async def required(self, project: str, sequence: int) -> DeadLetter:
        """The dead letter of that id.

        Raises:
            NotFound: there is none in the project.
        """
        letter = await self.get(sequence)
        if letter is None or letter.project != project:
            raise NotFound(f"there is no dead letter {sequence}; `tidemill dead list` shows the ones there are")
        return letter


def _letter(message: RawStreamMsg) -> DeadLetter:
    headers = dict(message.headers or {})
    body = bytes(message.data or b"")
    run_id: str | None = headers.get("Tidemill-Run-Id")
    try:
        run_id = _RUN_ID.validate_python(run_id)
    except ValidationError:
        run_id = None
    view = DeadLetterView(
        id=message.seq or 0,
        subject=headers.get("Tidemill-Subject", ""),
        stage=headers.get("Tidemill-Stage", ""),
        error=unquote(headers.get("Tidemill-Error", "")),
        kind=headers.get("Tidemill-Kind", ""),
        run_id=run_id,
        at=_time(headers.get("Tidemill-At")),
        data=body.decode(errors="replace")[:LONGEST_DATA],
    )
    own = {name: value for name, value in headers.items() if not name.lower().startswith(_OWN_HEADERS)}
    return DeadLetter(view, unquote(headers.get("Tidemill-Project", "default")), body, own)


def _time(text: str | None) -> datetime:
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return datetime.fromtimestamp(0, UTC)

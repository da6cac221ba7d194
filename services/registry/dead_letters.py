"""Reading and replaying dead letters, from their records; the stream ``DEAD`` is not needed for it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from urllib.parse import unquote

import nats.js.errors
from nats.js.api import RawStreamMsg
from pydantic import TypeAdapter, ValidationError

from tidemill.bus import Bus
from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.dead_letters import LETTER_HEADER, letter_id
from tidemill.bus.delivery import Delivery
from tidemill.bus.subjects import DEAD, EVENTS, JOBS
from tidemill.contracts import RunId
from tidemill.contracts.queries import DeadLetterView
from tidemill.errors import InvalidInput, NotFound, TransientError
from tidemill.records import RecordStore
from tidemill.records.schema import DeadLetterRecord, ReplayRecord

log = logging.getLogger(__name__)

LONGEST_DATA = 4000
_OWN_HEADERS = ("nats-", "tidemill-")
_RUN_ID: TypeAdapter[str] = TypeAdapter(RunId)


class DeadLetters:
    """The dead letters of all projects."""

    def __init__(self, bus: Bus, records: RecordStore) -> None:
        self._bus = bus
        self._letters = records.letters

    async def newest(self, project: str, limit: int) -> list[DeadLetterView]:
        """The latest dead letters of a project that were not replayed, newest first."""
        return [_view(letter) for letter in await self._letters.newest(project, limit=limit)]

    async def required(self, project: str, letter_id: str) -> DeadLetterRecord:
        """The dead letter of that id.

        Raises:
            NotFound: there is none in the project.
        """
        letter = await self._letters.get(project, letter_id)
        if letter is None:
            raise NotFound(f"there is no dead letter {letter_id}; `tidemill dead list` shows the ones there are")
        return letter

    async def waits(self, project: str, letter: DeadLetterRecord, identity: str) -> bool:
        """Whether a letter is still to be replayed; False when the replay ``identity`` has done so already.

        Raises:
            NotFound: another replay has taken it off the list.
        """
        replay = await self._letters.replayed(project, letter.id)
        if replay is not None and replay.identity != identity:
            raise NotFound(f"dead letter {letter.id} was replayed at {replay.at:%Y-%m-%d %H:%M:%S} UTC already")
        return replay is None

    async def replay(self, project: str, letter: DeadLetterRecord, identity: str) -> None:
        """Publish the message again where it came from, under the new id ``identity``, and take it off the list.

        Raises:
            InvalidInput: it did not come from a stream.
            TransientError: stream or store cannot be reached; replaying again under the same ``identity`` publishes
                once.
        """
        if not letter.subject.startswith("tidemill."):
            raise InvalidInput(f"dead letter {letter.id} came on {letter.subject!r}, which is no subject of Tidemill")
        stream = JOBS if letter.subject.startswith("tidemill.job.") else EVENTS
        headers = letter.headers | {"Nats-Msg-Id": identity}
        if "ce-id" in headers:
            headers["ce-id"] = identity  # a stage queues its jobs once for each id of its event
        await self._bus.publish_durably(stream, letter.subject, letter.body, headers)
        await self._letters.create_replay(project, letter.id, ReplayRecord(identity=identity, at=datetime.now(UTC)))

    async def adopt(self) -> int:
        """Put letters on record that an older version kept in the stream only; how many there were.

        Raises:
            TransientError: stream or store cannot be reached.
        """
        adopted, sequence = 0, 0
        while (message := await self._next(sequence + 1)) is not None:
            sequence = message.seq or sequence + 1
            if LETTER_HEADER not in (message.headers or {}):
                project, letter = _kept_before(message)
                await self._letters.keep(project, letter)
                adopted += 1
        if adopted:
            log.info("%d dead letters of an older version are on record now", adopted)
        return adopted

    async def _next(self, sequence: int) -> RawStreamMsg | None:
        try:
            return await self._bus.jetstream.get_msg(DEAD, sequence, next=True, subject="tidemill.dead.>")
        except nats.js.errors.NotFoundError:
            return None
        except UNREACHABLE as error:
            raise TransientError(f"the stream {DEAD} cannot be read: {error!r}") from error


def _view(letter: DeadLetterRecord) -> DeadLetterView:
    return DeadLetterView(
        id=letter.id,
        subject=letter.subject,
        stage=letter.stage,
        error=letter.error,
        kind=letter.kind,
        run_id=letter.run_id,
        at=letter.at,
        data=letter.body.decode(errors="replace")[:LONGEST_DATA],
    )


def _kept_before(message: RawStreamMsg) -> tuple[str, DeadLetterRecord]:
    headers = dict(message.headers or {})
    stage, subject = headers.get("Tidemill-Stage", ""), headers.get("Tidemill-Subject", "")
    at = _time(headers.get("Tidemill-At"))
    delivery = Delivery(subject, bytes(message.data or b""), headers, DEAD, message.seq or 0, at)
    letter = DeadLetterRecord(
        id=letter_id(stage, delivery, None, 1),
        subject=subject,
        stage=stage,
        error=unquote(headers.get("Tidemill-Error", "")),
        kind=headers.get("Tidemill-Kind", ""),
        run_id=_run_id(headers.get("Tidemill-Run-Id")),
        at=at,
        headers={name: value for name, value in headers.items() if not name.lower().startswith(_OWN_HEADERS)},
        body=delivery.body,
    )
    return unquote(headers.get("Tidemill-Project", "default")), letter


def _run_id(text: str | None) -> str | None:
    try:
        return _RUN_ID.validate_python(text)
    except ValidationError:
        return None


def _time(text: str | None) -> datetime:
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return datetime.fromtimestamp(0, UTC)

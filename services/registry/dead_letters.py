"""Reading and replaying dead letters, from their records; the stream ``DEAD`` is not needed for it."""

from __future__ import annotations

from datetime import UTC, datetime

from tidemill.bus import Bus
from tidemill.bus.subjects import EVENTS, JOBS
from tidemill.contracts.queries import DeadLetterView
from tidemill.errors import InvalidInput, NotFound
from tidemill.records import RecordStore
from tidemill.records.schema import DeadLetterRecord, ReplayRecord

LONGEST_DATA = 4000


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

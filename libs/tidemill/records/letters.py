"""A project's dead letters on record: what nobody could handle, with its error, for as long as the bucket lasts.

A letter is kept once under its id, which is made of what it is. A small entry beside it, named by time, lets the
newest be found with one listing; a marker says that it was replayed. Knows nothing of streams.
"""

from __future__ import annotations

from datetime import UTC

from tidemill.artifacts.objects import Objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.errors import CorruptArtifact
from tidemill.records import keys
from tidemill.records.documents import Documents
from tidemill.records.schema import DeadLetterRecord, ListedLetter, ReplayRecord


class Letters:
    """The dead letters of all projects. Raises what ``RecordStore`` raises."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._documents = Documents(objects)

    async def keep(self, project: str, letter: DeadLetterRecord) -> DeadLetterRecord:
        """Put a letter on record and on the list; the one that is there stays and is returned.

        Safe to repeat: a crash between the two writes is completed by the next call.
        """
        key = keys.letter_key(project, letter.id)
        if not await self._documents.create(key, letter):
            there = await self._documents.read(key, DeadLetterRecord)
            if there is None:
                raise CorruptArtifact(f"record {key} was there and is gone; nothing may delete records")
            letter = there
        moment = f"{letter.at.astimezone(UTC):%Y%m%dT%H%M%S.%f}"
        await self._documents.create(keys.listed_letter_key(project, moment, letter.id), ListedLetter(id=letter.id))
        return letter

    async def get(self, project: str, letter_id: str) -> DeadLetterRecord | None:
        """A letter, replayed or not; None when there is none of that id."""
        return await self._documents.read(keys.letter_key(project, letter_id), DeadLetterRecord)

    async def newest(self, project: str, *, limit: int) -> list[DeadLetterRecord]:
        """The latest letters that were not replayed, newest first: one listing, and a read for each of them."""
        waiting = (await self._waiting(project))[:limit]
        found = await in_parallel(lambda letter_id: self.get(project, letter_id), waiting, limit=16)
        return [letter for letter in found if letter is not None]

    async def replayed(self, project: str, letter_id: str) -> ReplayRecord | None:
        """What took a letter off the list, None while it is there."""
        return await self._documents.read(keys.replayed_letter_key(project, letter_id), ReplayRecord)

    async def create_replay(self, project: str, letter_id: str, record: ReplayRecord) -> bool:
        """Take a letter off the list; False when that was done already."""
        return await self._documents.create(keys.replayed_letter_key(project, letter_id), record)

    async def _waiting(self, project: str) -> list[str]:
        """Ids of the letters that were not replayed, newest first."""
        listed, replayed = [], set()
        async for key in self._objects.keys(keys.letters_folder(project)):
            folder, _, name = key.rpartition("/")
            if folder == keys.listed_letters_folder(project):
                listed.append(name.removesuffix(".json"))
            elif folder == keys.replayed_letters_folder(project):
                replayed.add(name.removesuffix(".json"))
        newest_first = [name.rpartition("-")[2] for name in sorted(listed, reverse=True)]
        return [letter_id for letter_id in newest_first if letter_id not in replayed]

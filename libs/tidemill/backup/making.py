"""Making a backup while the platform runs: records first, then the artifacts, which are older than what names them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tidemill.artifacts.erased import Tombstone
from tidemill.artifacts.location import Folder, parse_location
from tidemill.artifacts.objects import PART_SIZE, STORE_KEYS, Objects
from tidemill.backup.artifacts import ArtifactCopy
from tidemill.backup.cut import consistent_cut, project_of, runs_among
from tidemill.backup.erased import ErasedThings, clean, copied_key, read_tombstones
from tidemill.backup.records import RecordCopy, artifacts_named, broken_chains, read_list, written_list
from tidemill.backup.schema import (
    FOLDER,
    BackupRecord,
    Damage,
    list_key,
    messages_key,
    signer_key,
    started_key,
    summary_key,
)
from tidemill.errors import CorruptArtifact, InvalidInput, NotFound
from tidemill.progress import Progress
from tidemill.records.documents import from_json, to_json
from tidemill.signing import PublicKey


async def back_up(
    source: Objects,
    target: Objects,
    *,
    messages: Path | None,
    counted: dict[str, int] | None,
    progress: Progress,
    signers: Sequence[PublicKey] = (),
) -> BackupRecord:
    """Copy everything durable from ``source`` to ``target``, which may hold former backups of the same platform.

    Args:
        messages: a file of the messages that only the streams hold, ``counted`` by stream; None when they could not
            be read.
        signers: the public keys whose signatures of models the platform trusts.

    Raises:
        InvalidInput: ``target`` is part of ``source``, or holds something that is no backup.
        CorruptArtifact: the list of the backup before is damaged.
        TransientError: one of the two cannot be reached or is full; a new backup goes on from what is there.
    """
    _apart(source.url, target.url)
    former = await latest(target)
    if former is None and not await is_empty(target) and not await _begun(target):
        raise InvalidInput(f"{target.url} holds something that is no backup; choose an empty folder or bucket")
    started_at = datetime.now(UTC)
    backup_id = f"{started_at:%Y%m%dT%H%M%S.%fZ}"
    await target.create(started_key(backup_id), b"{}")
    known = await record_list(target, former) if former is not None else {}
    tombstones = await read_tombstones(source)
    erased = ErasedThings(tombstones, former.started_at if former is not None else started_at)
    cleaned = await clean(target, erased)
    known = {key: digest for key, digest in known.items() if key not in erased.records}
    cut = await consistent_cut(source)
    records = await RecordCopy(source, target, progress=progress, known=known).run(cut)
    copied = ArtifactCopy(source, target, progress=progress, erased=ErasedThings(tombstones, started_at))
    artifacts = await copied.run()
    for tombstone in tombstones:  # for whoever restores an older copy of this place
        await target.create_own(copied_key(tombstone), to_json(tombstone))
    await _forget_messages(target, tombstones, messages_key(backup_id))
    if messages is not None:
        await target.write(messages_key(backup_id), _blocks(messages))
    damages = await judged(target, records.digests, artifacts.damages)
    damages += records.damages + await broken_chains(target, records.digests, known)
    for signer in signers:
        await target.create(signer_key(backup_id, signer.id), signer.pem)
    listed = written_list(records.digests)
    await target.write(list_key(backup_id), iter([listed]))
    summary = BackupRecord(
        id=backup_id,
        tidemill=version("tidemill"),
        source=source.url,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        projects=sorted({project_of(key) for key in records.digests}),
        runs=runs_among(records.digests),
        records=len(records.digests),
        artifacts=artifacts.artifacts,
        bytes=artifacts.bytes + sum(cut[key] for key in records.digests),
        copied_objects=records.written + artifacts.written,
        copied_bytes=records.written_bytes + artifacts.written_bytes,
        messages=counted if messages is not None else None,
        records_digest=hashlib.sha256(listed).hexdigest(),
        signers=[signer.id for signer in signers],
        damages=damages,
        erased=cleaned,
    )
    await target.create(summary_key(backup_id), to_json(summary))
    return summary


async def latest(backup: Objects) -> BackupRecord | None:
    """The newest backup that is complete, None when there is none.

    Raises:
        CorruptArtifact: what it says of itself cannot be read.
    """
    keys = [key async for key in backup.keys(FOLDER) if key.startswith(f"{FOLDER}/backup-") and key.endswith(".json")]
    if not keys:
        return None
    return from_json(await backup.read(max(keys)), BackupRecord, max(keys))


async def record_list(backup: Objects, of: BackupRecord) -> dict[str, str]:
    """Digests of the records that belong to a backup, by key.

    Raises:
        CorruptArtifact: the list is not the one that was written.
    """
    key = list_key(of.id)
    try:
        data = await backup.read(key)
    except NotFound:
        raise CorruptArtifact(
            f"{key} is missing in {backup.url}; remove {summary_key(of.id)} to use one before it"
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != of.records_digest:
        raise CorruptArtifact(
            f"{key} in {backup.url} is damaged: expected sha256 {of.records_digest}, found {found}; remove "
            f"{summary_key(of.id)} to use the backup before it"
        )
    return read_list(data)


async def is_empty(objects: Objects) -> bool:
    """Whether nothing is there but the keys that a store is encrypted with, which it has before anything else."""
    async for key in objects.keys(""):
        if not key.startswith(f"{STORE_KEYS}/"):
            return False
    return True


async def _begun(target: Objects) -> bool:
    """Whether a backup was begun here that did not come to its end."""
    async for _ in target.keys(FOLDER):
        return True
    return False


async def judged(copy: Objects, records: dict[str, str], damages: list[Damage]) -> list[Damage]:
    """Which of the damaged artifacts something refers to."""
    if not damages:
        return []
    named = await artifacts_named(copy, records)
    return [
        damage.model_copy(update={"needed": damage.key.rpartition("/")[2].removesuffix(".json") in named})
        for damage in damages
    ]


async def _forget_messages(target: Objects, tombstones: Sequence[Tombstone], own: str) -> None:
    """Remove the messages of backups that are older than an erasure: nobody has looked what they say."""
    last = max((one.at for one in tombstones), default=None)
    if last is None:
        return
    keys = [key async for key in target.keys(FOLDER) if key.endswith("/messages.jsonl") and key != own]
    old = [key for key in keys if key.split("/")[1] < f"{last.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"]
    await target.erase(old)


def _apart(source: str, target: str) -> None:
    places = [parse_location(url) for url in (source, target)]
    if all(isinstance(place, Folder) for place in places):
        paths = [place.path.resolve() for place in places if isinstance(place, Folder)]
        overlap = paths[0].is_relative_to(paths[1]) or paths[1].is_relative_to(paths[0])
    else:
        store, copy = (f"{url.rstrip('/')}/" for url in (source, target))
        overlap = store.startswith(copy) or copy.startswith(store)
    if overlap:
        raise InvalidInput(f"a backup of {source} cannot be in {target}: one holds the other; choose another place")


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(PART_SIZE):
            yield block

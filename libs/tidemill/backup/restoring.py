"""A platform made of a backup, in an empty place, with every digest verified."""

from __future__ import annotations

from pathlib import Path

from tidemill.artifacts.manifest import MANIFESTS
from tidemill.artifacts.objects import Objects
from tidemill.backup.artifacts import ArtifactCopy
from tidemill.backup.cut import project_of, runs_among
from tidemill.backup.erased import ErasedThings, copied_key, read_tombstones
from tidemill.backup.making import is_empty, judged, latest, record_list
from tidemill.backup.records import RecordCopy, broken_chains
from tidemill.backup.schema import BackupRecord, RestoreSummary, messages_key, signer_key
from tidemill.errors import CorruptArtifact, InvalidInput
from tidemill.progress import Progress
from tidemill.records.documents import to_json
from tidemill.signing import PublicKey, TrustedSigners


async def restore(
    backup: Objects, store: Objects, *, messages: Path, progress: Progress, signers: TrustedSigners | None = None,
    erased_from: Objects | None = None,
) -> RestoreSummary:  # fmt: skip
    """Copy the newest complete backup to ``store``, which must be empty; messages that wait go to a file.

    What is damaged is left out and named in the summary; the rest is restored. ``signers`` trusts those whom the
    platform trusted that was backed up, so that its models serve: whoever restores a backup trusts what is in it.
    What was erased for people since, as the tombstones in the backup and in ``erased_from`` (the store it was made of,
    or a later backup) tell, is left out too, and so are the messages of a backup that is older than an erasure: nobody
    has looked what they say.

    Raises:
        InvalidInput: there is no backup, or ``store`` is not empty.
        CorruptArtifact: the backup's list of records is damaged.
        TransientError: one of the two cannot be reached or is full; empty ``store`` before another try.
    """
    found = await latest(backup)
    if found is None:
        raise InvalidInput(
            f"there is no complete backup in {backup.url}; a plain copy of a store needs no restore: let "
            "TIDEMILL_STORE_URL name it and start with `tidemill up`"
        )
    if not await is_empty(store):
        raise InvalidInput(
            f"{store.url} is not empty; a backup is restored to an empty place: choose another with --data-dir, or "
            "TIDEMILL_STORE_URL for a bucket"
        )
    expected = await record_list(backup, found)
    tombstones = await read_tombstones(backup, *([erased_from] if erased_from is not None else []))
    for tombstone in tombstones:  # first: nothing that is put meanwhile brings it back
        await store.create_own(copied_key(tombstone), to_json(tombstone))
    erased = ErasedThings(tombstones, found.started_at)
    names = [key.rpartition("/")[2].removesuffix(".json") async for key in backup.keys(MANIFESTS)]
    left_out = sum(erased.covers(name) for name in names)
    older = any(one.at >= found.started_at for one in tombstones)
    artifacts = await ArtifactCopy(backup, store, progress=progress, erased=erased).run()
    sizes = {found.key: found.size async for found in backup.entries("records") if found.key in expected}
    cut = {key: sizes.get(key, 0) for key in expected}
    records = await RecordCopy(backup, store, progress=progress, expected=expected, erased=erased.records).run(cut)
    damages = await judged(store, records.digests, artifacts.damages)
    damages += records.damages + await broken_chains(store, records.digests)
    return RestoreSummary(
        backup=found.id,
        made_at=found.finished_at,
        store=store.url,
        projects=sorted({project_of(key) for key in records.digests}),
        runs=runs_among(records.digests),
        records=len(records.digests),
        artifacts=artifacts.artifacts,
        bytes=artifacts.written_bytes + records.written_bytes,
        messages=await _messages(backup, found.id, messages) if found.messages and not older else 0,
        signers=await _trust(backup, found, signers) if signers is not None else [],
        damages=damages,
        erased=left_out + len(erased.records.keys() & cut.keys()),
    )


async def _messages(backup: Objects, backup_id: str, to: Path) -> int:
    to.parent.mkdir(parents=True, exist_ok=True)
    lines, start = 0, 0
    with to.open("wb") as file:
        while block := await backup.read(messages_key(backup_id), start=start, length=1 << 22):
            file.write(block)
            lines, start = lines + block.count(b"\n"), start + len(block)
    return lines


async def _trust(backup: Objects, made: BackupRecord, signers: TrustedSigners) -> list[str]:
    for key_id in made.signers:
        key = signer_key(made.id, key_id)
        signer = PublicKey.from_pem(await backup.read(key), f"{key} in {backup.url}")
        if signer.id != key_id:
            raise CorruptArtifact(f"{key} in {backup.url} holds another key, {signer.id}; nobody is trusted by it")
        signers.add(signer)
    return made.signers

"""A backup holds the audit logs whole, and the public keys of those who signed the models."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidemill.artifacts.objects import Objects, StoredObject, open_objects
from tidemill.audit import put_on_record, verify
from tidemill.backup import back_up, restore
from tidemill.backup.schema import list_key
from tidemill.errors import CorruptArtifact
from tidemill.progress import silent
from tidemill.records import RecordStore
from tidemill.records.schema import AliasMoved
from tidemill.signing import SigningFolder, SigningKey, TrustedSigners

AUDIT = "records/default/audit"


@pytest.fixture
async def source(tmp_path: Path) -> Objects:
    objects = open_objects(str(tmp_path / "source"))
    moved = AliasMoved(name="m", alias="champion", version=1, previous=None, reason="r")
    await RecordStore(objects).append_decision("default", lambda _: moved)
    for number in range(12):
        await act(objects, number)
    return objects


async def act(objects: Objects, number: int) -> None:
    await put_on_record(RecordStore(objects), "default", actor="local", action="a", subject=f"run:{number}")


async def test_the_audit_log_is_restored_whole_and_goes_on(source: Objects, tmp_path: Path) -> None:
    backup, new = open_objects(str(tmp_path / "backup")), open_objects(str(tmp_path / "new"))
    first = await back_up(source, backup, messages=None, counted=None, progress=silent)
    for number in range(12, 15):
        await act(source, number)
    second = await back_up(source, backup, messages=None, counted=None, progress=silent)
    assert (first.damages, second.damages, second.copied_objects) == ([], [], 3)
    heads = [(await RecordStore(source).audit.newest("default", limit=1))[0].digest]
    restored = await restore(backup, new, messages=tmp_path / "kept", progress=silent)
    assert restored.damages == []
    found = await verify(new, heads=heads)
    assert (found.good, [chain.links for chain in found.chains]) == (True, [1, 15])
    await act(new, 15)
    assert (await verify(new, heads=heads)).good


async def test_an_entry_changed_in_the_backup_or_before_it_is_named(source: Objects, tmp_path: Path) -> None:
    backup = open_objects(str(tmp_path / "backup"))
    seventh = f"{AUDIT}/{7:012d}.json"
    good = await source.read(seventh)
    await source.write(seventh, iter([good.replace(b"local", b"other")]))
    made = await back_up(source, backup, messages=None, counted=None, progress=silent)
    assert [damage.key for damage in made.damages] == [AUDIT]
    assert "audit entry 7 of project 'default' breaks the chain" in made.damages[0].problem

    other = open_objects(str(tmp_path / "other"))
    await source.write(seventh, iter([good]))
    assert not (await back_up(source, other, messages=None, counted=None, progress=silent)).damages
    await other.delete([seventh])
    new = open_objects(str(tmp_path / "new"))
    restored = await restore(other, new, messages=tmp_path / "kept", progress=silent)
    assert {damage.key for damage in restored.damages} == {seventh, AUDIT}


async def test_entries_that_a_listing_has_overtaken_are_copied_too(
    source: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing that passed by before entry 9 was written, and met entry 10: as S3 lists while others write."""
    listing = Objects.entries

    async def passing_by(self: Objects, prefix: str, **options: str | None) -> AsyncIterator[StoredObject]:
        async for found in listing(self, prefix, **options):
            if self is not source or not found.key.endswith(f"{9:012d}.json"):
                yield found

    monkeypatch.setattr(Objects, "entries", passing_by)
    backup = open_objects(str(tmp_path / "backup"))
    made = await back_up(source, backup, messages=None, counted=None, progress=silent)
    monkeypatch.undo()
    assert made.damages == []
    assert (await verify(backup)).good
    assert await backup.size(f"{AUDIT}/{9:012d}.json") is not None
    listed = (await backup.read(list_key(made.id))).decode()
    ninth = await source.read(f"{AUDIT}/{9:012d}.json")
    assert f"{hashlib.sha256(ninth).hexdigest()}  {AUDIT}/{9:012d}.json" in listed


async def test_trusted_signers_come_along_and_the_private_key_does_not(source: Objects, tmp_path: Path) -> None:
    old = SigningFolder.below(tmp_path / "old")
    old.make()
    old.rotate()
    signers = list(old.trusted.keys().values())
    backup = open_objects(str(tmp_path / "backup"))
    made = await back_up(source, backup, messages=None, counted=None, progress=silent, signers=signers)
    assert made.signers == [key.id for key in signers]
    assert not any(b"PRIVATE" in path.read_bytes() for path in (tmp_path / "backup").rglob("*") if path.is_file())
    new = TrustedSigners(tmp_path / "new" / "trusted")
    restored = await restore(
        backup, open_objects(str(tmp_path / "new-store")), messages=tmp_path / "kept", progress=silent, signers=new
    )
    assert restored.signers == made.signers
    assert set(new.keys()) == set(old.trusted.keys())


async def test_a_key_exchanged_in_the_backup_is_not_trusted(source: Objects, tmp_path: Path) -> None:
    key = SigningKey.new().public
    backup = open_objects(str(tmp_path / "backup"))
    made = await back_up(source, backup, messages=None, counted=None, progress=silent, signers=[key])
    place = f"backups/{made.id}/signers/{key.id}.pem"
    await backup.write(place, iter([SigningKey.new().public.pem]))
    new = TrustedSigners(tmp_path / "trusted")
    store = open_objects(str(tmp_path / "new-store"))
    with pytest.raises(CorruptArtifact, match="holds another key"):
        await restore(backup, store, messages=tmp_path / "kept", progress=silent, signers=new)
    assert new.keys() == {}


async def test_a_backup_of_a_version_without_signers_is_restored(source: Objects, tmp_path: Path) -> None:
    backup = open_objects(str(tmp_path / "backup"))
    made = await back_up(source, backup, messages=None, counted=None, progress=silent)
    summary = f"backups/backup-{made.id}.json"
    document = (await backup.read(summary)).replace(b'"signers":[],', b"")
    await backup.write(summary, iter([document]))
    new = TrustedSigners(tmp_path / "trusted")
    restored = await restore(
        backup, open_objects(str(tmp_path / "s")), messages=tmp_path / "kept", progress=silent, signers=new
    )
    assert (restored.signers, restored.damages) == ([], [])
    assert restored.made_at <= datetime.now(UTC)

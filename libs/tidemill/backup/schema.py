"""What a backup says of itself, and where it is kept beside what it copies.

records/…, artifacts/…                  as in the platform's store
backups/<id>/started.json               this folder or bucket is for backups
backups/<id>/messages.jsonl             what was in the streams and nowhere else
backups/<id>/signers/<key id>.pem       public keys whose signatures of models the platform trusts
backups/<id>/records.sha256             the records that belong to it, as ``sha256sum`` writes it
backups/backup-<id>.json                BackupRecord, written last: the backup is complete
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from tidemill.contracts import Frozen

FOLDER = "backups"


class Damage(Frozen):
    """Something that could not be copied as it should be."""

    key: str
    problem: str
    needed: bool = True
    """Whether something in the copy refers to it."""


class BackupRecord(Frozen):
    """One backup: what was there when it was made, and what had to be copied for it. Sizes in bytes."""

    format: int = Field(default=1, ge=1, le=1)
    id: str
    tidemill: str
    """Version of the program that made it."""
    source: str
    started_at: datetime
    finished_at: datetime
    projects: list[str]
    runs: int
    records: int
    artifacts: int
    bytes: int
    copied_objects: int
    copied_bytes: int
    messages: dict[str, int] | None
    """Messages that only the streams held, by stream; None when NATS could not be reached."""
    records_digest: str
    """sha256 of ``records.sha256``."""
    signers: list[str] = Field(default_factory=list)
    """Ids of the public keys whose signatures of models the platform trusts."""
    damages: list[Damage] = Field(default_factory=list)
    erased: int = 0
    """Artifacts and records of former backups in the same place that were erased since, and are gone from it."""


class RestoreSummary(Frozen):
    """What was restored. Sizes in bytes."""

    backup: str
    made_at: datetime
    store: str
    projects: list[str]
    runs: int
    records: int
    artifacts: int
    bytes: int
    messages: int
    signers: list[str] = Field(default_factory=list)
    """Ids of the public keys whose signatures of models are trusted from now on."""
    damages: list[Damage] = Field(default_factory=list)
    erased: int = 0
    """Artifacts and records of the backup that were left out or overwritten, since they were erased."""


def summary_key(backup_id: str) -> str:
    """Where a backup's ``BackupRecord`` is."""
    return f"{FOLDER}/backup-{backup_id}.json"


def list_key(backup_id: str) -> str:
    """Where the list of a backup's records is."""
    return f"{FOLDER}/{backup_id}/records.sha256"


def messages_key(backup_id: str) -> str:
    """Where a backup's messages are."""
    return f"{FOLDER}/{backup_id}/messages.jsonl"


def started_key(backup_id: str) -> str:
    """What is written before anything else."""
    return f"{FOLDER}/{backup_id}/started.json"


def signer_key(backup_id: str, key_id: str) -> str:
    """Where a trusted public key is."""
    return f"{FOLDER}/{backup_id}/signers/{key_id}.pem"

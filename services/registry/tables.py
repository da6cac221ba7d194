"""The tables of the registry. All of them are a projection of the records in the bucket: nothing is only here.

Knows no event handling. What is queried is a column; what is only shown is kept as the JSON of its contract type.
Digests and names are text, times are UTC, sizes bytes, durations seconds. Nothing here is special to one database.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Index, String, UniqueConstraint
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

METADATA = SQLModel.metadata
"""All tables below."""


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: UTC in the database and aware in Python, also where the database keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC."""
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PeopleText(TypeDecorator[str]):
    """Text that people or programs wrote: PostgreSQL's holds no NUL, which is shown as ``␀`` instead."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """With what every database can hold."""
        return value.replace("\0", "␀") if value is not None else None


class RunEntry(SQLModel, table=True):
    """A run and how its latest epoch stands."""

    __tablename__ = "runs"
    __table_args__ = (Index("runs_by_time", "project", "created_at"),)

    project: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    name: str
    state: str = Field(index=True)
    stage: str | None = None
    """The stage it is in, or ended in."""
    epoch: int
    created_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str | None = Field(default=None, sa_type=PeopleText)
    error_stage: str | None = None
    version: int | None = None
    promoted: bool = False
    reason: str = Field(default="", sa_type=PeopleText)
    traceparent: str | None = Field(default=None, sa_type=PeopleText)
    uri: str | None = Field(default=None, sa_type=PeopleText)
    unfinished: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    """``ResourceUsage`` by stage, of the tries of stages that are not done."""
    budget: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    """The ``Budget`` of its latest epoch."""
    deadline: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When the wall time of its latest epoch is over."""


class StageEntry(SQLModel, table=True):
    """A stage that a run has behind it, and the resources that it used."""

    __tablename__ = "stages"

    project: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    stage: str = Field(primary_key=True)
    subject: str
    fingerprint: str
    started_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime = Field(sa_type=UtcDateTime)
    cached: bool
    jobs: int
    event: dict[str, Any] = Field(sa_type=JSON)
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    peak_memory_bytes: int = Field(default=0, sa_type=BigInteger)
    read_bytes: int = Field(default=0, sa_type=BigInteger)
    written_bytes: int = Field(default=0, sa_type=BigInteger)
    attempts: int = 0


class DatasetEntry(SQLModel, table=True):
    """A version of a dataset: as it was taken in, or prepared for training."""

    __tablename__ = "datasets"

    project: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    form: str
    """``ingested`` or ``prepared``."""
    task: str
    size_bytes: int = Field(sa_type=BigInteger)
    rows: int = Field(sa_type=BigInteger)
    parts: dict[str, int] = Field(sa_type=JSON)
    labels: list[str] = Field(sa_type=JSON)
    run_id: str
    """The first run that made it."""
    created_at: datetime = Field(sa_type=UtcDateTime)


class LineageEdge(SQLModel, table=True):
    """``child`` came out of ``parent``: from a model back to the rows of its source."""

    __tablename__ = "lineage"

    project: str = Field(primary_key=True)
    child: str = Field(primary_key=True)
    relation: str = Field(primary_key=True)
    """``ingested-from``, ``prepared-from``, ``trained-on``, ``compressed-from`` or ``configured-by``."""
    parent: str = Field(primary_key=True, index=True)
    parent_kind: str
    parent_size_bytes: int = Field(sa_type=BigInteger)


class ModelEntry(SQLModel, table=True):
    """A model: a name under which versions are registered."""

    __tablename__ = "models"

    project: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    task: str
    created_at: datetime = Field(sa_type=UtcDateTime)


class VersionEntry(SQLModel, table=True):
    """A numbered version of a model: a package that never changes."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("project", "name", "digest", name="one_version_of_a_package"),)

    project: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    digest: str
    run_id: str = Field(index=True)
    registered_at: datetime = Field(sa_type=UtcDateTime)
    event: dict[str, Any] = Field(sa_type=JSON)
    """The ``ModelCompressed`` that it was registered from."""
    signed_by: str | None = None
    """Id of the key whose signature counts."""
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_because: str | None = None


class AliasEntry(SQLModel, table=True):
    """A name that points to one version of a model, and can be moved: ``champion``."""

    __tablename__ = "aliases"

    project: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    alias: str = Field(primary_key=True)
    version: int
    reason: str = Field(sa_type=PeopleText)
    run_id: str | None = None
    moved_at: datetime = Field(sa_type=UtcDateTime)


class DeletedVersion(SQLModel, table=True):
    """A version that was deleted; its number is never given again."""

    __tablename__ = "deleted_versions"

    project: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    deleted_at: datetime = Field(sa_type=UtcDateTime)


class DeletedDataset(SQLModel, table=True):
    """A run whose source, ingested and prepared dataset were deleted."""

    __tablename__ = "deleted_datasets"

    project: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    name: str
    deleted_at: datetime = Field(sa_type=UtcDateTime)


class ChainEntry(SQLModel, table=True):
    """How far a project's chain of decisions is in these tables."""

    __tablename__ = "chains"

    project: str = Field(primary_key=True)
    sequence: int
    digest: str

"""What a collection found and did, in numbers and bytes by kind. Bytes are counted once, where shards are shared."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from tidemill.contracts import Frozen

Fate = Literal["kept", "condemned", "waiting", "freed"]
FATES: tuple[Fate, ...] = ("kept", "waiting", "condemned", "freed")
"""In the order in which bytes that several artifacts share are counted: with the one that stays longest."""

LOOSE = "shards of no artifact"
UNFINISHED = "unfinished writes"
QUARANTINED = "damaged, put aside"
_NO_ARTIFACTS = (LOOSE, UNFINISHED, QUARANTINED)


class Amount(Frozen):
    """A number of artifacts or objects, and the bytes that go with them alone."""

    number: int = 0
    bytes: int = 0

    def plus(self, size: int) -> Amount:
        """One more, of ``size`` bytes."""
        return Amount(number=self.number + 1, bytes=self.bytes + size)

    def __add__(self, other: Amount) -> Amount:
        return Amount(number=self.number + other.number, bytes=self.bytes + other.bytes)


class Line(Frozen):
    """One kind: an artifact's, ``LOOSE``, ``UNFINISHED`` or ``QUARANTINED``."""

    kind: str
    kept: Amount = Amount()
    condemned: Amount = Amount()
    """Found unreferenced for the first time."""
    waiting: Amount = Amount()
    """Unreferenced, and within their grace."""
    freed: Amount = Amount()
    """Deleted; in a dry run, what would be."""

    @property
    def is_artifact(self) -> bool:
        """Whether it is about artifacts."""
        return self.kind not in _NO_ARTIFACTS


class Report(Frozen):
    """A collection. Nothing was changed in a dry run."""

    at: datetime
    dry_run: bool
    grace_seconds: float = Field(ge=0)
    lines: list[Line]
    damaged: list[str] = Field(default_factory=list)
    """Manifests that cannot be read; they and the shards that they seem to name are left alone."""

    @property
    def deleted_something(self) -> bool:
        """Whether the collection changed what the store holds."""
        return not self.dry_run and self.total("freed").number > 0

    @property
    def sentence(self) -> str:
        """What was deleted, for the audit log."""
        freed = self.total("freed")
        return f"{freed.number} artifacts and objects of {freed.bytes} bytes deleted"

    def total(self, fate: Fate) -> Amount:
        """Over all kinds."""
        return sum((getattr(line, fate) for line in self.lines), Amount())


class Tally:
    """Adds a report up."""

    def __init__(self) -> None:
        self._amounts: dict[tuple[str, Fate], Amount] = {}

    def add(self, kind: str, fate: Fate, size: int) -> None:
        """One more of a kind."""
        self._amounts[kind, fate] = self._amounts.get((kind, fate), Amount()).plus(size)

    def lines(self) -> list[Line]:
        """A line for every kind that there is, by name; what is no artifact last."""
        kinds = sorted({kind for kind, _ in self._amounts}, key=lambda kind: (kind in _NO_ARTIFACTS, kind))
        return [
            Line.model_validate({"kind": kind} | {fate: self._amounts.get((kind, fate), Amount()) for fate in FATES})
            for kind in kinds
        ]

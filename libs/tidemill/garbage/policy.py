"""How long a collection waits before it takes what nothing refers to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

SHARD_GRACE = timedelta(hours=24)
CHECKPOINT_AGE = timedelta(days=7)
QUARANTINE_AGE = timedelta(days=7)


@dataclass(frozen=True)
class Policy:
    """Ages. With a ``grace`` of zero everything unreferenced goes at once: only for a platform that does not run."""

    grace: timedelta = timedelta(hours=1)
    """Age below which an artifact counts as a put in flight, and the least time between condemning and deleting."""
    checkpoint_age: timedelta = CHECKPOINT_AGE
    """Age up to which the last checkpoint of a job without a result is kept, whoever works on it."""
    result_age: timedelta = CHECKPOINT_AGE
    """Age up to which the results of jobs and steps are kept that no stage announced: a run with another recipe may
    begin with the same steps, as one that appends rows begins with the same shards."""
    forget_older_than: timedelta | None = None
    """Age from which a run that ended without a version refers to nothing: it cannot be retried any more."""

    @property
    def quarantine_age(self) -> timedelta:
        """Age from which what was put aside as damaged goes, with any ``grace``: somebody may want to look."""
        return max(self.shard_grace, QUARANTINE_AGE)

    @property
    def shard_grace(self) -> timedelta:
        """Age from which a shard that no artifact has is left over: no put takes so long."""
        return max(self.grace, SHARD_GRACE) if self.grace else self.grace

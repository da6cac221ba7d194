"""The errors of Tidemill. Each answers the bus's one question: is another try worth it?

``TransientError``  yes: the delivery goes back with a growing delay.
``PermanentError``  no: the run fails at once with this message, the event goes to the dead letters.
anything else       unforeseen: tried again a limited number of times, then treated as permanent.

A message tells a person what was wrong, where, and what to do. HTTP status codes are the gateway's business alone.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.contracts import ArtifactRef

_OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)


class TidemillError(Exception):
    """Root of every error that Tidemill raises on purpose; ``str(error)`` is meant for a person."""


class TransientError(TidemillError):
    """Worth another delivery: a timeout, a lost connection, a full disk."""


class PermanentError(TidemillError):
    """Another try cannot help: the input or the recipe has to change first."""


class InvalidInput(PermanentError):
    """What a person or a program handed in is wrong; names the file, row or field and what to do."""

    evidence: ArtifactRef | None = None
    """A report that shows what is wrong; kept with the outcome of the run that it fails."""


class NotFound(PermanentError):
    """The named thing does not exist; says how to see the ones that do."""


class ArtifactMissing(NotFound):
    """The store has no such artifact, though something on record names it."""

    artifact: ArtifactRef | None = None


class CorruptArtifact(PermanentError):
    """A stored file does not have the digest its manifest promises; names the file and both digests."""

    artifact: ArtifactRef | None = None
    """The artifact that cannot be read, where the store was asked for one."""


class Cancelled(TidemillError):
    """The run was cancelled; neither a failure nor worth another try."""


class HandedBack(TidemillError):
    """The worker is leaving: the job goes back to the stream at once, with its last checkpoint saved."""


def out_of_space(error: BaseException) -> bool:
    """Whether a full disk or an exhausted quota is behind ``error``: another try helps once there is room.

    Native libraries wrap the system's error into one of their own, so its words count as well.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _OUT_OF_SPACE:
            return True
        if "No space left on device" in str(seen) or "Disk quota exceeded" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False

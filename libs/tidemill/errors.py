"""The errors of Tidemill. Each answers the bus's one question: is another try worth it?

``TransientError``  yes: the delivery goes back with a growing delay.
``PermanentError``  no: the run fails at once with this message, the event goes to the dead letters.
anything else       unforeseen: tried again a limited number of times, then treated as permanent.

A message tells a person what was wrong, where, and what to do. HTTP status codes are the gateway's business alone.
"""

from __future__ import annotations


class TidemillError(Exception):
    """Root of every error that Tidemill raises on purpose; ``str(error)`` is meant for a person."""


class TransientError(TidemillError):
    """Worth another delivery: a timeout, a lost connection, a full disk."""


class PermanentError(TidemillError):
    """Another try cannot help: the input or the recipe has to change first."""


class InvalidInput(PermanentError):
    """What a person or a program handed in is wrong; names the file, row or field and what to do."""


class NotFound(PermanentError):
    """The named thing does not exist; says how to see the ones that do."""


class CorruptArtifact(PermanentError):
    """A stored file does not have the digest its manifest promises; names the file and both digests."""


class Cancelled(TidemillError):
    """The run was cancelled; neither a failure nor worth another try."""


class HandedBack(TidemillError):
    """The worker is leaving: the job goes back to the stream at once, with its last checkpoint saved."""

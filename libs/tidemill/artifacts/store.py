"""The artifact store's interface: immutable directories, named by the digest of their manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tidemill.contracts import ArtifactKind, ArtifactRef


class ArtifactStore(Protocol):
    """Few verbs. ``put`` is idempotent and create-only, ``fetch`` verifies every digest."""

    async def put(self, directory: Path, *, kind: ArtifactKind) -> ArtifactRef:
        """Store all regular files below ``directory``; the same bytes give the same reference.

        Raises:
            InvalidInput: the directory is empty or holds something that is not a regular file (a link that leaves it),
                or bytes that were erased at a person's request.
            TransientError: the store cannot be reached or is full.
        """

    async def fetch(self, ref: ArtifactRef, into: Path, *, only: Sequence[str] = ()) -> Path:
        """Place the artifact's files below ``into`` (read-only, hard-linked from the local cache) and return ``into``.

        ``only`` limits it to files whose path equals one of the given or lies below one ending in ``/``.

        Raises:
            NotFound: no such artifact.
            CorruptArtifact: a file's bytes do not match its digest; names the file.
        """

    async def read(self, ref: ArtifactRef, path: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Bytes ``start`` to ``start + length`` of one file of the artifact (to its end when ``length`` is None)."""

    async def files(self, ref: ArtifactRef) -> dict[str, int]:
        """Paths and sizes in bytes of the artifact's files."""

    async def exists(self, ref: ArtifactRef) -> bool:
        """Whether the artifact's manifest is there."""

    async def quarantine(self, ref: ArtifactRef) -> list[str]:
        """Look at an artifact that could not be read, in the store itself, and take what is damaged out of the way.

        Returns:
            Keys of what is damaged or lost; the artifact then does not exist any more, and putting the same bytes
            again makes it whole. Empty when the store's copy is good.
        """

    async def adopt(self, ref: ArtifactRef) -> bool:
        """Whether the artifact is there for whoever refers to it from now on.

        To be asked before anything refers to an artifact that somebody else put: one that the garbage collection has
        condemned is spared, and has its whole grace before it again.
        """

    async def erased(self, ref: ArtifactRef) -> bool:
        """Whether the artifact held personal data and was erased; putting its bytes again is refused."""

    async def delete(self, ref: ArtifactRef) -> None:
        """Remove the artifact's manifest; its file objects go when no other manifest names them."""

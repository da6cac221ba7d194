"""What an artifact consists of: a list of files, each cut into shards that are named by their sha256.

The manifest's canonical JSON is what an artifact's digest is taken of, so it holds no run id and no time. Knows
nothing of where shards are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import Field, ValidationError

from tidemill.contracts import ArtifactKind, ArtifactRef, Frozen
from tidemill.errors import CorruptArtifact

MANIFESTS = "artifacts/manifests"
"""The folder of all manifests."""
OBJECTS = "artifacts/objects"
"""The folder of all shards."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Shard(Frozen):
    """A piece of a file: its sha256 in hex and its size in bytes."""

    sha256: Sha256
    size: int = Field(ge=1)


class FileEntry(Frozen):
    """A file: its path below the artifact (``/`` between parts), its size in bytes and its shards in order."""

    path: str
    size: int = Field(ge=0)
    shards: tuple[Shard, ...]

    @property
    def content(self) -> str:
        """A name for the file's bytes, the same wherever the same shards follow each other."""
        if len(self.shards) == 1:
            return self.shards[0].sha256
        return hashlib.sha256("\n".join(shard.sha256 for shard in self.shards).encode()).hexdigest()


class Manifest(Frozen):
    """An artifact's kind and files, sorted by path."""

    version: int = Field(default=1, ge=1, le=1)
    kind: ArtifactKind
    files: tuple[FileEntry, ...]

    def canonical(self) -> bytes:
        """JSON with sorted keys and no spaces, in UTF-8."""
        document = self.model_dump(mode="json")
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def reference(self) -> ArtifactRef:
        """The reference that names this artifact."""
        return ArtifactRef(
            digest=f"sha256:{hashlib.sha256(self.canonical()).hexdigest()}",
            kind=self.kind,
            size_bytes=sum(entry.size for entry in self.files),
        )

    def select(self, only: Sequence[str]) -> list[FileEntry]:
        """Files whose path is in ``only`` or lies below one of its members that end in ``/``; all when empty."""
        folders = tuple(path for path in only if path.endswith("/"))
        exact = set(only)
        return [
            entry
            for entry in self.files
            if not only or entry.path in exact or (folders and entry.path.startswith(folders))
        ]


def manifest_key(ref: ArtifactRef) -> str:
    """Where a manifest is kept."""
    return f"{MANIFESTS}/{ref.digest.removeprefix('sha256:')}.json"


def object_key(sha256: str) -> str:
    """Where a shard's bytes are kept."""
    return f"{OBJECTS}/{sha256[:2]}/{sha256}"


def read_manifest(data: bytes, name: str) -> Manifest:
    """The manifest in ``data``, checked: its paths stay inside the artifact, its sizes add up.

    Args:
        data: canonical JSON.
        name: the manifest's digest in hex, which ``data`` must have.

    Raises:
        CorruptArtifact: names the manifest and what is wrong with it.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != name:
        raise CorruptArtifact(
            f"manifest {name}: expected sha256 {name}, found {found}; restore the object from a copy of the bucket "
            "or make the artifact again"
        )
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CorruptArtifact(f"manifest {name}: {where}: {first['msg']}") from error
    for problem in _problems(manifest):
        raise CorruptArtifact(f"manifest {name}: {problem}; refusing it")
    return manifest


def _problems(manifest: Manifest) -> Iterator[str]:
    paths = {entry.path for entry in manifest.files}
    if len(paths) < len(manifest.files):
        yield "a path is named twice"
    for entry in manifest.files:
        parts = entry.path.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in entry.path:
            yield f"path {entry.path!r} leaves the artifact"
        if any(str(folder) in paths for folder in PurePosixPath(entry.path).parents):
            yield f"path {entry.path!r} lies below another file"
        if sum(shard.size for shard in entry.shards) != entry.size:
            yield f"the shards of {entry.path!r} do not add up to its size"

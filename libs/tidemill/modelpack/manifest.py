"""``manifest.json``: sha256 and size of every other file of a model package, and which files may be in one.

Knows nothing about what the files mean.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from tidemill.contracts import Digest, Frozen
from tidemill.errors import CorruptArtifact, InvalidInput, PermanentError

FORMAT = 1
MANIFEST_FILE = "manifest.json"

_ALLOWED_SUFFIXES = frozenset(
    {
        ".json",
        ".md",
        ".txt",
        ".model",
        ".jinja",
        ".safetensors",
        ".onnx",
        ".data",
        ".onnx_data",
        ".xml",
        ".tflite",
    }
    | {".png", ".svg"}
)
"""What a package may hold. An allow-list: a loader that unpickles finds nothing that it could run."""

_CHUNK = 1 << 20

T = TypeVar("T", bound=BaseModel)


class FileEntry(Frozen):
    """One file as it was written."""

    sha256: Digest
    size_bytes: int = Field(ge=0)


class Manifest(Frozen):
    """``manifest.json``. Paths are relative, with ``/``."""

    format: int = FORMAT
    files: dict[str, FileEntry]


def file_digest(path: Path) -> str:
    """``sha256:<hex>`` of the file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def list_files(directory: Path) -> list[str]:
    """Relative paths of all regular files below ``directory`` but the manifest, sorted.

    Raises:
        InvalidInput: something in it is neither a regular file nor a directory.
    """
    found: list[str] = []
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InvalidInput(f"model package: {relative} is not a regular file; copy the file itself into it")
        if path.is_file() and relative != MANIFEST_FILE:
            found.append(relative)
    return found


def refuse_unsafe(files: list[str]) -> None:
    """Refuse what is not known to be free of code; ``.bin`` only beside an OpenVINO ``.xml`` of its name.

    Raises:
        InvalidInput: names the file.
    """
    present = set(files)
    for name in files:
        path = PurePosixPath(name)
        openvino_weights = path.suffix == ".bin" and str(path.with_suffix(".xml")) in present
        if path.suffix not in _ALLOWED_SUFFIXES and not openvino_weights:
            raise InvalidInput(
                f"model package: {name} may not be in it, since a {path.suffix or 'nameless'} file can hold "
                "pickled code; save weights as safetensors, ONNX or OpenVINO IR"
            )


def build(directory: Path) -> Manifest:
    """Hash every file below ``directory``.

    Raises:
        InvalidInput: a file that may not be in a package; names it.
    """
    files = list_files(directory)
    refuse_unsafe(files)
    return Manifest(
        files={
            name: FileEntry(sha256=file_digest(directory / name), size_bytes=(directory / name).stat().st_size)
            for name in files
        }
    )


def read(directory: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        CorruptArtifact: it is missing, cannot be read, or names a path outside the package.
        PermanentError: it was written in a format that this version does not know.
        InvalidInput: it lists a file that may not be in a package.
    """
    manifest = read_document(directory, MANIFEST_FILE, Manifest)
    for name in manifest.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or str(path) != name:
            raise CorruptArtifact(f"model package: {MANIFEST_FILE} names {name!r}, which is not inside the package")
    refuse_unsafe(list(manifest.files))
    return manifest


def read_document(directory: Path, name: str, kind: type[T]) -> T:
    """Read one of the package's JSON files.

    Raises:
        CorruptArtifact: it is missing or not what it should be; names the file.
        PermanentError: its ``format`` number is not the one that this version knows.
    """
    try:
        document: Any = json.loads((directory / name).read_bytes())
    except FileNotFoundError:
        raise CorruptArtifact(f"model package {directory.name}: {name} is missing") from None
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"model package {directory.name}: {name} cannot be read: {error}") from None
    if isinstance(document, dict):
        _refuse_unknown_format(name, document.get("format"))
    try:
        return kind.model_validate(document)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise CorruptArtifact(f"model package {directory.name}: {name}: {where}: {first['msg']}") from None


def write_document(path: Path, document: BaseModel) -> None:
    """Write JSON that is the same for the same content: sorted keys, UTF-8, replaced in one step."""
    text = json.dumps(document.model_dump(mode="json"), ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.part")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _refuse_unknown_format(name: str, number: object) -> None:
    # A variant's "format" is a word such as "onnx"; only the numbered documents have a version to know.
    if isinstance(number, int) and number != FORMAT:
        raise PermanentError(
            f"model package: {name} is written in format {number}, this version of Tidemill reads format "
            f"{FORMAT}; update Tidemill, or train the model again"
        )

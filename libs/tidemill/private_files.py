"""Files of keys: created with their mode from the first byte on, whole or not at all, and on the disk when done."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4


def write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Create a file; raises FileExistsError when there is one."""
    part = _written_beside(path, data, mode)
    try:
        os.link(part, path)
    finally:
        part.unlink()


def replace(path: Path, data: bytes, *, mode: int) -> None:
    """Put a file in the place of the one that is there."""
    _written_beside(path, data, mode).replace(path)


def _written_beside(path: Path, data: bytes, mode: int) -> Path:
    part = path.with_name(f".{path.name}.{uuid4().hex}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return part

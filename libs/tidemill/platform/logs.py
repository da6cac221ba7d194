"""Log files of supervised processes: cut by size, read from the end. Knows nothing of who writes them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LIMIT_BYTES = 10 << 20
KEPT = 3


def rotate(log: Path, *, limit: int = LIMIT_BYTES, kept: int = KEPT) -> bool:
    """Move the content of ``log`` to ``log.1`` (and that to ``log.2`` …) once it is larger than ``limit`` bytes.

    The file itself stays, since its writers keep it open for appending: it is copied, then cut to nothing.
    """
    if not log.exists() or log.stat().st_size <= limit:
        return False
    for number in range(kept - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)
    return True


def tail(log: Path, *, lines: int = 20, limit: int = 16 << 10) -> str:
    """The last ``lines`` lines of ``log``, at most ``limit`` bytes; empty when there is no such file."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - limit))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])

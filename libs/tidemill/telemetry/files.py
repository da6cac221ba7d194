"""Files of JSON lines that never harm the work: bounded in size, and a full disk costs lines, not exceptions."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE_BYTES = 16 * 2**20
OLD_FILES = 3
FOLDER_BYTES = 256 * 2**20
FOLDER_FILES = 300
"""Bounds of a whole folder, since every process that ever ran left files there."""


class LineFile:
    """Appends JSON objects to ``path``, one a line, each written at once. Safe for threads and for several processes.

    At ``limit`` bytes the file becomes ``<stem>.1.jsonl`` (older ones move on, the oldest goes). When a line cannot
    be written it is counted in ``dropped``, and the first of a row of failures is said on standard error.
    """

    def __init__(self, path: Path, limit: int = FILE_BYTES) -> None:
        self.path = path
        self.dropped = 0
        self._limit = limit
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._failing = False
        self._torn = False

    def write(self, document: Mapping[str, Any]) -> None:
        """Append ``document``; never raises."""
        try:
            line = json.dumps(document, ensure_ascii=False, default=str, separators=(",", ":")).encode(
                "utf-8", "backslashreplace"
            )
            with self._lock:
                self._append(line + b"\n")
                self._failing = False
        except Exception as error:
            self._drop(error)

    def close(self) -> None:
        """Close the file; a later ``write`` opens it again."""
        with self._lock:
            self._release()

    def _append(self, line: bytes) -> None:
        descriptor = self._opened()
        status = os.fstat(descriptor)
        if status.st_nlink == 0:  # pruned by another process, or the data folder was cleared
            self._release()
        elif status.st_size + len(line) > self._limit:
            self._rotate(descriptor)
        descriptor = self._opened()
        if self._torn:
            line = b"\n" + line  # the disk was full in the middle of a line
        written = os.write(descriptor, line)
        self._torn = written < len(line)
        if self._torn:
            raise OSError(errno.ENOSPC, "No space left on device")

    def _opened(self) -> int:
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        return self._descriptor

    def _rotate(self, descriptor: int) -> None:
        # Another process with the same name may have moved it already.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == self.path.stat().st_ino and os.fstat(descriptor).st_size > 0:
                for number in range(OLD_FILES - 1, 0, -1):
                    with contextlib.suppress(FileNotFoundError):
                        self._old(number).replace(self._old(number + 1))
                self.path.replace(self._old(1))
        self._release()

    def _old(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}.{number}{self.path.suffix}")

    def _release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _drop(self, error: Exception) -> None:
        self.dropped += 1
        if self._failing:
            return
        self._failing = True
        # Not through logging: the log may be the file that cannot be written.
        with contextlib.suppress(Exception):
            print(f"telemetry is dropped, {self.path} cannot be written: {error}", file=sys.stderr)


def prune(folder: Path, limit: int = FOLDER_BYTES, most: int = FOLDER_FILES) -> None:
    """Remove the oldest ``*.jsonl`` of ``folder`` until it holds ``limit`` bytes in ``most`` files; never raises."""
    with contextlib.suppress(OSError):
        files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in folder.glob("*.jsonl"))
        total = sum(size for _, size, _ in files)
        for number, (_, size, path) in enumerate(files[:-1]):
            if total <= limit and len(files) - number <= most:
                return
            path.unlink(missing_ok=True)
            total -= size

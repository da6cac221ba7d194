"""Where the members of archives go: into one folder, counted as they come, their names checked."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.ingest.archives.kinds import HEAD
from tidemill.errors import HandedBack, InvalidInput
from tidemill.file_names import FileNames, is_hidden
from tidemill.jobs.report import ProgressReport

_LINKS_IN_A_ROW = 8


@dataclass(frozen=True)
class UnpackLimits:
    """How much may come out of the archives of one source, all together."""

    max_bytes: int = 10 * 1024**3
    max_files: int = 200_000
    max_ratio: int = 200
    """Bytes that one byte of an archive may turn into, once ``free_bytes`` have come out."""
    free_bytes: int = 64 << 20


class Meter:
    """Counts what comes out of the archives of one source against its limits, and says how far it is."""

    def __init__(self, limits: UnpackLimits, report: ProgressReport, packed_bytes: int) -> None:
        self._limits = limits
        self._report = report
        self._packed = max(1, packed_bytes)
        self._decompressed = 0
        self._written = 0
        self._files = 0
        self.hidden = 0
        """Members that were left out because they are hidden."""

    def decompressed(self, number: int, archive: str) -> None:
        """``number`` bytes came out of an archive, whatever becomes of them.

        Raises:
            InvalidInput: too many.
            HandedBack: the worker wants to leave.
        """
        self._decompressed += number
        limits = self._limits
        if self._decompressed > limits.free_bytes and self._decompressed > limits.max_ratio * self._packed:
            raise InvalidInput(
                f"{archive} unpacks to more than {limits.max_ratio} times its size, as archives do that are made to "
                "fill a disk; publish the files as they are"
            )
        if self._decompressed > 2 * limits.max_bytes:
            raise self._too_large(archive)
        if self._report.stop_requested:
            raise HandedBack("the worker is leaving in the middle of unpacking")

    def written(self, number: int, archive: str) -> None:
        """``number`` bytes of a file are to be written. Raises InvalidInput for too many of them."""
        self._written += number
        if self._written > self._limits.max_bytes:
            raise self._too_large(archive)

    def _too_large(self, archive: str) -> InvalidInput:
        return InvalidInput(
            f"{archive} unpacks to more than {self._limits.max_bytes:,} bytes, the limit of TIDEMILL_INGEST_MAX_BYTES; "
            "publish less or raise the limit"
        )

    def add_file(self, archive: str) -> None:
        """Another member, whatever it is. Raises InvalidInput for too many of them."""
        self._files += 1
        if self._files > self._limits.max_files:
            raise InvalidInput(
                f"{archive} holds more than {self._limits.max_files:,} files (TIDEMILL_INGEST_MAX_FILES); "
                "put the rows into fewer files, or raise the limit"
            )
        left_out = f", {self.hidden:,} hidden ones left out" if self.hidden else ""
        self._report.progress(None, f"{self._files:,} files unpacked, {self._written / 1e6:,.1f} MB{left_out}")


class Unpacked:
    """One archive's files in ``folder``."""

    def __init__(self, folder: Path, archive: str, meter: Meter) -> None:
        self.folder = folder
        self.inner: list[tuple[Path, bytes]] = []
        """The files so far, with their first bytes."""
        self._archive = archive
        self._meter = meter
        self._names = FileNames(f"archive {archive}")
        self._written: set[str] = set()
        self._links: dict[str, str] = {}

    def folder_of(self, name: str) -> None:
        """A folder is named; it is made when a file is in it."""
        self._meter.add_file(self._archive)
        if name != "./":
            self._names.checked(name)

    def write(self, name: str, content: Iterable[bytes]) -> None:
        """The next file; a hidden one is left out, its content not read.

        Raises:
            InvalidInput: its name cannot be used, or there is too much of it.
        """
        if not self._skips(name):
            self._write(self._names.add(name), content)

    def link(self, name: str, target: str, *, hard: bool) -> None:
        """A link to another member of the archive, which gets a copy of it.

        Raises:
            InvalidInput: it leads out of the archive.
        """
        # A hard link names the member; a symbolic one counts from the folder that it is in.
        joined = target if hard else posixpath.join(posixpath.dirname(name), target)
        to = posixpath.normpath(joined)
        if target.startswith("/") or "\\" in target or to.startswith("../") or to == "..":
            raise InvalidInput(
                f"archive {self._archive} holds {name!r}, a link that leads out of it (to {target!r}); "
                "pack the files themselves"
            )
        if not self._skips(name):
            self._links[self._names.add(name)] = to

    def finish(self) -> None:
        """Replace links by what they lead to. Raises InvalidInput for one that leads to no file of the archive."""
        for name, target in self._links.items():
            to = target
            for _ in range(_LINKS_IN_A_ROW):
                to = self._links.get(to, to)
            if to not in self._written:
                raise InvalidInput(
                    f"archive {self._archive} holds {name!r}, a link to {target!r}, which is no file in it; "
                    "pack the file itself"
                )
            with (self.folder / to).open("rb") as file:
                self._write(name, iter(lambda file=file: file.read(1 << 18), b""))  # type: ignore[misc]

    def _skips(self, name: str) -> bool:
        self._meter.add_file(self._archive)
        if not is_hidden(self._names.checked(name)):
            return False
        self._meter.hidden += 1
        return True

    def _write(self, safe: str, content: Iterable[bytes]) -> None:
        target = self.folder / safe
        target.parent.mkdir(parents=True, exist_ok=True)
        head = b""
        with target.open("xb") as file:
            for chunk in content:
                self._meter.written(len(chunk), self._archive)
                if len(head) < HEAD:
                    head += chunk[: HEAD - len(head)]
                file.write(chunk)
        self._written.add(safe)
        self.inner.append((target, head))


def counted(content: Iterable[bytes], meter: Meter, archive: str) -> Iterator[bytes]:
    """What comes out of an archive, every byte counted. Raises InvalidInput for too many of them."""
    for chunk in content:
        meter.decompressed(len(chunk), archive)
        yield chunk

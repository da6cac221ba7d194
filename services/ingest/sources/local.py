"""Copies a local file, or all visible files of a local folder and its folders. Knows nothing of what is in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from services.ingest.sources.policy import Origin, SourcePolicy
from services.ingest.sources.transfer import Transfer
from tidemill.errors import InvalidInput
from tidemill.file_names import FileNames, is_hidden


@dataclass(frozen=True)
class _Source:
    """A file as it was named, where it really is, and its name in the copy."""

    named: Path
    real: Path
    name: str


def copy_local(path: Path, into: Path, transfer: Transfer, *, policy: SourcePolicy, origin: Origin) -> None:
    """Copy the file ``path``, or what is in the folder ``path``, into the directory ``into``; folders stay.

    Hidden files (``.git``, ``.DS_Store``) are left out, which the progress says.

    Raises:
        InvalidInput: it does not exist, may not be read, is no regular file, is too large or too much, the folder holds
            no file, or a link that leads out of it or to a folder.
    """
    if not path.is_absolute():
        raise InvalidInput(f"{path} is a relative path; give an absolute one, since ingest runs somewhere else")
    real = policy.check_path(path, origin)
    try:
        sources = _tree(path, real, transfer, policy, origin) if real.is_dir() else [_alone(path, real)]
        transfer.expect(sum(source.real.stat().st_size for source in sources))
        for source in sources:
            with _open_regular(source) as opened:
                transfer.write(into / source.name, iter(lambda opened=opened: opened.read(1 << 20), b""))  # type: ignore[misc]
    except FileNotFoundError as error:
        raise InvalidInput(f"there is no file {error.filename or path} on the machine that ingest runs on") from None
    except PermissionError as error:
        raise InvalidInput(f"{error.filename or path} may not be read by the user that ingest runs as") from None
    except NotADirectoryError:
        raise InvalidInput(f"there is no file {path} on the machine that ingest runs on") from None


def _alone(named: Path, real: Path) -> _Source:
    # The name that the user gave decides the format, not that of a link's target.
    return _Source(named, real, FileNames(f"folder {named.parent}").add(named.name))


def _tree(named: Path, real: Path, transfer: Transfer, policy: SourcePolicy, origin: Origin) -> list[_Source]:
    names = FileNames(f"folder {named}")
    sources: list[_Source] = []
    hidden = 0
    for entry in _entries(real):
        name = Path(entry.path).relative_to(real).as_posix()
        if is_hidden(name):
            hidden += 1
            continue
        # A link inside an allowed folder may lead out of it.
        target = policy.check_path(Path(entry.path), origin)
        if entry.is_symlink():
            _check_link(named / name, target, real)
        sources.append(_Source(named / name, target, names.add(name)))
        transfer.expect_files(len(sources))
    if not sources:
        raise InvalidInput(f"folder {named} holds no file that is not hidden; put the dataset's files there")
    if hidden:
        transfer.say(f"{hidden:,} hidden files or folders left out")
    return sources


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Everything below ``folder`` but its folders, in the order of the names; hidden folders are not entered."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and not is_hidden(entry.name):
            yield from _entries(Path(entry.path))
        else:
            yield entry


def _check_link(named: Path, target: Path, root: Path) -> None:
    if not target.is_relative_to(root):
        raise InvalidInput(f"{named} is a symbolic link out of its folder; put the file itself there")
    if target.is_dir():
        raise InvalidInput(f"{named} is a symbolic link to a folder; put its files there, or remove the link")
    if not target.exists():
        raise InvalidInput(f"{named} is a symbolic link to nothing; remove it")


def _open_regular(source: _Source) -> BinaryIO:
    # O_NONBLOCK: opening a named pipe must not wait for a writer.
    opened = os.fdopen(os.open(source.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise InvalidInput(f"{source.named} is not a regular file; name a data file or a folder with data files")
    return opened

"""Copies a local file, or the data files of a local folder. Knows nothing of what is in them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from services.ingest.layout import choose_files
from services.ingest.sources.policy import Origin, SourcePolicy
from services.ingest.sources.transfer import Transfer
from tidemill.errors import InvalidInput


def copy_local(path: Path, into: Path, transfer: Transfer, *, policy: SourcePolicy, origin: Origin) -> None:
    """Copy the file ``path``, or the data files of the folder ``path``, into the directory ``into``.

    Raises:
        InvalidInput: it does not exist, may not be read, is no regular file, is too large, or the folder holds no
            dataset.
    """
    if not path.is_absolute():
        raise InvalidInput(f"{path} is a relative path; give an absolute one, since ingest runs somewhere else")
    real = policy.check_path(path, origin)
    try:
        files = _files(path, real)
        sizes = [source.stat().st_size for source in files]
        transfer.expect(sum(sizes))
        for source in files:
            # A link inside an allowed folder may lead out of it.
            with _open_regular(policy.check_path(source, origin), source) as opened:
                transfer.write(into / source.name, iter(lambda opened=opened: opened.read(1 << 20), b""))  # type: ignore[misc]
    except FileNotFoundError as error:
        raise InvalidInput(f"there is no file {error.filename or path} on the machine that ingest runs on") from None
    except PermissionError as error:
        raise InvalidInput(f"{error.filename or path} may not be read by the user that ingest runs as") from None
    except NotADirectoryError:
        raise InvalidInput(f"there is no file {path} on the machine that ingest runs on") from None


def _files(named: Path, real: Path) -> list[Path]:
    if not real.is_dir():
        real.stat()
        # The name that the user gave decides the format, not that of a link's target.
        return [named]
    inside = {entry.name: entry for entry in sorted(real.iterdir()) if entry.is_file()}
    return [inside[name] for name in choose_files(list(inside), str(named))]


def _open_regular(real: Path, named: Path) -> BinaryIO:
    # O_NONBLOCK: opening a named pipe must not wait for a writer.
    opened = os.fdopen(os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise InvalidInput(f"{named} is not a regular file; name a data file or a folder with data files")
    return opened

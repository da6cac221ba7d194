"""The secrets of a deployment, made once: each in a file, in a folder of its own for everybody who holds it.

A value that several hold is the same in all their folders. What is there is never changed, so that the step can be
repeated at every start; a new holder gets what the others have. Only files that hold nothing secret, and say what a
server or a service is to accept, follow what they are made of.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tidemill.deploy.inventory import DERIVED, SECRETS, Derived, Secret
from tidemill.errors import InvalidInput, PermanentError

MODE = 0o440
"""The owner's, and readable by the group: the database's server runs as a user of its own, in the owner's group."""
FOLDER_MODE = 0o750


def make_secrets(into: Path) -> list[str]:
    """Make what is missing below ``into``, one folder for each holder; names (``holder/file``) of what was made.

    Raises:
        InvalidInput: two holders of one secret have different values, or a file is empty; names them.
        PermanentError: the folder cannot be written.
    """
    made: list[str] = []
    try:
        for secret in SECRETS:
            made += _hand_out(into, secret)
        for derived in DERIVED:
            made += _derive(into, derived)
    except OSError as error:
        raise PermanentError(f"secrets cannot be kept in {into}: {error.strerror or error}") from error
    return made


def _hand_out(into: Path, secret: Secret) -> list[str]:
    paths = [into / holder / secret.file for holder in secret.holders]
    known = {path: text for path in paths if (text := _read(path)) is not None}
    values = list(dict.fromkeys(known.values()))
    if len(values) > 1:
        differing = " and ".join(str(path.relative_to(into)) for path in known)
        raise InvalidInput(
            f"{differing} hold different values of one secret; keep those that the server uses and remove the others"
        )
    if values:
        return _create_missing(into, paths, values[0])
    # Of two that start at the same moment, the first holder's file says whose value it is.
    first = str(paths[0].relative_to(into))
    value = secret.make()
    if _create(paths[0], value):
        return [first, *_create_missing(into, paths[1:], value)]
    return _create_missing(into, paths[1:], _read(paths[0]) or value)


def _derive(into: Path, derived: Derived) -> list[str]:
    values = [_read(into / part) or "" for part in derived.parts]
    text = derived.text(values)
    paths = [into / holder / derived.file.format(derived.name(values)) for holder in derived.holders]
    made = _create_missing(into, paths, text)
    if derived.public:
        outdated = [path for path in paths if path.read_text(encoding="utf-8") != text]
        for path in outdated:
            _write(path, text, Path.replace)
        made += [str(path.relative_to(into)) for path in outdated]
    return made


def _read(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8").rstrip("\n")
    except FileNotFoundError:
        return None
    if not text:
        raise InvalidInput(f"the secret {path} is empty; remove the file to have it made again")
    return text


def _create_missing(into: Path, paths: list[Path], text: str) -> list[str]:
    missing = [path for path in paths if not path.exists()]
    return [str(path.relative_to(into)) for path in missing if _create(path, text)]


def _create(path: Path, text: str) -> bool:
    """Write a whole file or none; False, and nothing is changed, where there is one."""
    try:
        _write(path, text, lambda written, target: os.link(written, target))
    except FileExistsError:
        return False
    return True


def _write(path: Path, text: str, place: Callable[[Path, Path], object]) -> None:
    """Write ``text`` to a file beside ``path`` and have ``place`` put it there."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, MODE)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        place(Path(temporary), path)
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()

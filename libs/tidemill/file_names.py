"""What files of a dataset may be called, where a stranger names them: in an archive, an upload, a bucket."""

from __future__ import annotations

import re
import unicodedata

from tidemill.errors import InvalidInput

MAX_PART_BYTES = 255
MAX_NAME_BYTES = 1024
MAX_FOLDERS = 32
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DRIVE = re.compile(r"^[A-Za-z]:")
_SYSTEM_FILES = frozenset(("__macosx", "thumbs.db", "desktop.ini", "$recycle.bin"))


class FileNames:
    """The names of files that go into one folder. Refuses those that a file system could take for another place, and
    those that it could take for one another.

    Args:
        where: what holds the files, for messages: ``archive reviews.zip``.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._files)

    def add(self, given: str) -> str:
        """``given`` with ``/`` between its parts and no part that is empty or ``.``; safe below any folder.

        Raises:
            InvalidInput: an absolute path, ``..``, a backslash, a drive, a control character, what is no Unicode text,
                too long or too deep; or the file is there already, but perhaps for case or Unicode form.
        """
        name = self.checked(given)
        key = _same(name)
        if key in self._files:
            other = self._files[key]
            how = "twice" if other == name else f"beside {other!r}, which differs only in case or Unicode form"
            raise InvalidInput(f"{self._where} holds {name!r} {how}; give every file its own name")
        folders = [key[:at] for at, character in enumerate(key) if character == "/"]
        in_the_way = next((self._files[folder] for folder in folders if folder in self._files), None)
        if in_the_way is not None or key in self._folders:
            raise InvalidInput(
                f"{self._where} holds {in_the_way or name!r} both as a file and as a folder; rename one of them"
            )
        self._files[key] = name
        self._folders.update(dict.fromkeys(folders, name))
        return name

    def checked(self, given: str) -> str:
        """As ``add``, without keeping the name."""
        problem = _problem(given)
        parts = [part for part in given.split("/") if part not in ("", ".")]
        if problem is None and not parts:
            problem = "it is empty"
        elif problem is None and any(len(part.encode()) > MAX_PART_BYTES for part in parts):
            problem = f"a part of it has more than {MAX_PART_BYTES} bytes"
        elif problem is None and len(given.encode()) > MAX_NAME_BYTES:
            problem = f"it has more than {MAX_NAME_BYTES:,} bytes"
        elif problem is None and len(parts) > MAX_FOLDERS:
            problem = f"it lies more than {MAX_FOLDERS} folders deep"
        if problem is not None:
            shown = given if len(given) <= 100 else f"{given[:97]}..."
            raise InvalidInput(
                f"{self._where} holds a file whose name cannot be used, {shown!r}: {problem}; "
                "rename it to a plain name such as train/a.csv"
            )
        return "/".join(parts)


def is_hidden(name: str) -> bool:
    """Whether a file or one of its folders is hidden (``.git``) or a system's own (``__MACOSX``, ``Thumbs.db``)."""
    return any(part.startswith(".") or part.casefold() in _SYSTEM_FILES for part in name.split("/") if part != ".")


def _problem(given: str) -> str | None:
    if _CONTROL.search(given):
        return "it holds a control character"
    if _SURROGATE.search(given):
        return "it is not valid Unicode text"
    if "\\" in given:
        return "it holds a backslash"
    if given.startswith("/") or _DRIVE.match(given):
        return "it is an absolute path"
    if ".." in given.split("/"):
        return "it leads out of its folder"
    return None


def _same(name: str) -> str:
    """Equal for names that some file system takes for the same (Unicode caseless match, D145)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())

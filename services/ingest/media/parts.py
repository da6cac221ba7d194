"""Which files of a folder make which part of the dataset: said in the recipe, or by folders named after parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from services.ingest.media.tree import Found, MediaKind, folders, media, shown
from services.ingest.names import PART_OF_WORD, PARTS
from tidemill.contracts.data import PartName
from tidemill.errors import InvalidInput

_ORDER: tuple[PartName, ...] = ("data", *PARTS)
_WORD = re.compile(r"[a-z]+")
_DEPTH = 4


@dataclass(frozen=True)
class Part:
    """Files of a tree: those below ``folder`` (a path; empty for all), or those that ``pattern`` fits."""

    folder: str = ""
    pattern: str | None = None

    def holds(self, path: str) -> bool:
        """Whether the file belongs to the part."""
        if self.pattern is not None:
            return fits(path, self.pattern)
        return not self.folder or path.startswith(self.folder + "/")

    def files(self, top: Path, kind: MediaKind) -> Iterator[Found]:
        """Its images or recordings, with their paths from ``top``."""
        return (found for found in media(top, kind) if self.holds(found.path))


def parts_of(top: Path, kind: MediaKind, files: Mapping[PartName, str]) -> dict[PartName, Part]:
    """The parts of a tree; ``files`` is what the recipe says of them.

    Raises:
        InvalidInput: folders are named after some of the parts only, or files lie beside such folders.
    """
    if files:
        return {part: Part(pattern=files[part]) for part in _ORDER if part in files}
    found = _part_folders(top, kind)
    if not found:
        return {"data": Part()}
    if not {"train", "test"} <= found.keys():
        lines = ", ".join(f'{part}: "{folder}/*"' for part, folder in found.items())
        raise InvalidInput(
            f"the folders {_listed(found.values())} are named after parts, but a dataset with given parts has both "
            f"train and test; say which is which in the recipe:  data: {{files: {{{lines}}}}}  with the missing one, "
            "or rename the folders"
        )
    parts = {part: Part(found[part]) for part in _ORDER if part in found}
    for file in media(top, kind):
        if not any(part.holds(file.path) for part in parts.values()):
            raise InvalidInput(
                f"{shown(file.path)} lies beside the folders of the parts ({_listed(found.values())}); move it into "
                'one of them, or say which files are meant:  data: {files: {train: "<pattern>", test: "<pattern>"}}'
            )
    return parts


def check_parts(counts: Mapping[PartName, int], parts: Mapping[PartName, Part], kind: MediaKind, top: Path) -> None:
    """Raise InvalidInput for a part without a file, or a tree without any."""
    for part, count in counts.items():
        if count:
            continue
        what = "image" if kind == "image" else "recording"
        chosen = parts[part]
        if chosen.pattern is not None:
            raise InvalidInput(f"data.files: no {what} fits {chosen.pattern!r} ({part}); patterns are for whole paths")
        where = f"folder {chosen.folder!r}" if chosen.folder else "the folder"
        raise InvalidInput(f"{where} holds no {what}; check data.format, or that the files are there ({top.name})")


def refuse_shared(path: str, parts: Mapping[PartName, Part]) -> None:
    """Raise InvalidInput when patterns put a file into two parts."""
    holding = [part for part, chosen in parts.items() if chosen.holds(path)]
    if len(holding) > 1:
        raise InvalidInput(f"data.files puts {shown(path)} into {' and '.join(holding)}; make the patterns exclusive")


def fits(path: str, pattern: str) -> bool:
    """Whether a pattern of ``data.files`` fits a path or names a folder above it; ``*`` stands for ``/`` as well."""
    return fnmatchcase(path, pattern) or path.startswith(pattern.rstrip("/") + "/")


def part_of_name(*names: str) -> PartName | None:
    """The part that the words of these names say (``instances_train2017.json``), the first name first."""
    for name in names:
        said = {PART_OF_WORD[word] for word in _WORD.findall(name.casefold()) if word in PART_OF_WORD}
        if len(said) == 1:
            return said.pop()
    return None


def ordered(parts: Mapping[PartName, str]) -> dict[PartName, str]:
    """In the order train, validation, test."""
    return {part: parts[part] for part in _ORDER if part in parts}


def _part_folders(top: Path, kind: MediaKind) -> dict[PartName, str]:
    """Folders side by side that are named after at least two parts, the uppermost such; one alone may be a label."""
    siblings: dict[str, dict[PartName, str]] = {}
    for folder in folders(top, _DEPTH):
        above, _, name = folder.rpartition("/")
        part = PART_OF_WORD.get(name.casefold())
        if not folder or part is None or next(media(top / folder, kind), None) is None:
            continue
        found = siblings.setdefault(above, {})
        if part in found:
            raise InvalidInput(f"folders {found[part]} and {folder} are named after the same part; keep one of them")
        found[part] = folder
    return next((ordered(found) for found in siblings.values() if len(found) > 1), {})


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)

"""Where the images, annotations and lists of a dataset in VOC's form are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from services.ingest.media.tree import Found, folders, media, shown, walk
from services.ingest.tables import BadRows
from tidemill.contracts.data import PartName
from tidemill.errors import InvalidInput

_DEPTH = 4
_IMAGES = ("JPEGImages", "images", "Images")
_FILES: dict[PartName, str] = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}

Sets = Mapping[PartName, frozenset[str]]


@dataclass(frozen=True)
class VocTree:
    """Folders as paths from ``top``; without ``annotations``, XML files lie beside the images."""

    top: Path
    images: str = ""
    annotations: str | None = None
    lists: str | None = None

    def files(self) -> Iterator[Found]:
        """All images."""
        for found in media(self.top / self.images, "image"):
            yield replace(found, path=f"{self.images}/{found.path}") if self.images else found

    def name(self, path: str) -> str:
        """What lists call the image."""
        return str(PurePosixPath(path).relative_to(self.images).with_suffix(""))

    def annotation(self, path: str) -> Path:
        """The image's XML file."""
        if self.annotations is None:
            return (self.top / path).with_suffix(".xml")
        return self.top / self.annotations / f"{self.name(path)}.xml"

    def annotated(self) -> Iterator[str]:
        """Names of all XML files."""
        below = self.images if self.annotations is None else self.annotations
        for found in walk(self.top / below):
            if found.suffix == ".xml":
                yield str(PurePosixPath(found.path).with_suffix(""))


def find_tree(top: Path) -> VocTree:
    """The tree in a folder. Raises InvalidInput when there are several."""
    roots = [path for path in folders(top, _DEPTH) if (top / path / "Annotations").is_dir()]
    if len(roots) > 1:
        raise InvalidInput(f"there are several VOC trees ({', '.join(roots[:5])}); publish one of them, or merge them")
    if not roots:
        return VocTree(top)
    prefix = f"{roots[0]}/" if roots[0] else ""
    images = next((prefix + name for name in _IMAGES if (top / prefix / name).is_dir()), roots[0])
    lists = f"{prefix}ImageSets/Main"
    return VocTree(top, images, f"{prefix}Annotations", lists if (top / lists).is_dir() else None)


def read_sets(tree: VocTree) -> dict[PartName, frozenset[str]]:
    """Names of the images of each part; nothing without lists of both train and test.

    Raises:
        InvalidInput: a name is in two parts, or a list is no text.
    """
    if tree.lists is None:
        return {}
    files = {part: tree.top / tree.lists / name for part, name in _FILES.items()}
    sets = {part: _read_list(file) for part, file in files.items() if file.is_file()}
    if not {"train", "test"} <= sets.keys():
        return {}
    seen: dict[str, PartName] = {}
    for part, names in sets.items():
        for name in sorted(names & seen.keys()):
            raise InvalidInput(f"ImageSets/Main: {name!r} is in both {_FILES[seen[name]]} and {_FILES[part]}; keep one")
        seen |= dict.fromkeys(names, part)
    return sets


def tell_of_strays(tree: VocTree, sets: Sets, bad: BadRows) -> None:
    """Tell ``bad`` of annotations without an image, listed images that are not there, and images in no list."""
    images = {tree.name(found.path) for found in tree.files()}
    for number, name in enumerate(tree.annotated(), 1):
        if name not in images:
            bad.add(
                tree.top, number, f"annotation {shown(name)}.xml has no image; put it there, or remove it", shown(name)
            )
    for part, names in sets.items():
        for number, name in enumerate(sorted(names), 1):
            if name not in images:
                reason = f"ImageSets/Main/{_FILES[part]} names {name!r}, and there is no such image; take it out"
                bad.add(tree.top / (tree.lists or "") / _FILES[part], number, reason, name)
    if sets:
        listed = frozenset().union(*sets.values())
        for number, found in enumerate(tree.files(), 1):
            if tree.name(found.path) not in listed:
                reason = f"{shown(found.path)} is in none of the lists of ImageSets/Main; add it to one, or remove it"
                bad.add(tree.top, number, reason, shown(found.path))


def _read_list(file: Path) -> frozenset[str]:
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InvalidInput(f"ImageSets/Main/{file.name} is no UTF-8 text; write one name a line") from None
    return frozenset(line.split()[0] for line in lines if line.strip())

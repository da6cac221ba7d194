"""Opens images with annotations in COCO's form: one JSON file for the images of a part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.ingest.media.boxes import OBJECTS
from services.ingest.media.checks import Media
from services.ingest.media.coco_boxes import CocoFile
from services.ingest.media.coco_json import looks_like_coco
from services.ingest.media.labels import PatternColumns, folder_of
from services.ingest.media.names import FileNames
from services.ingest.media.parts import Part, check_parts, fits, ordered, part_of_name
from services.ingest.media.pattern import PathPattern
from services.ingest.media.reader import MediaFolder
from services.ingest.media.tree import folders, media, walk
from services.ingest.tables import BadRows, Limits, TableFile
from tidemill.contracts.data import Data, PartName
from tidemill.errors import InvalidInput

_DEPTH = 4


class CocoBoxes:
    """The column ``objects``. An image that the file lists without a box has an empty list."""

    def __init__(self, top: Path, path: str, part: Part, max_element: int) -> None:
        self._top = top
        self._path = top / path
        self._part = part
        self._max_element = max_element
        self.columns: Mapping[str, pa.DataType] = {"objects": OBJECTS}

    def begin(self, bad: BadRows) -> None:
        """Read the file and match it with the images of its part."""
        self._file = CocoFile(self._path, self._max_element, bad)
        self._names = FileNames(self._file.names, self._path.name, "image")
        self._names.match(found.path for found in self._part.files(self._top, "image") if found.problem is None)
        for entry, name in self._names.without_file():
            number = entry + 1
            reason = f"{self._path.name}, image {number}: there is no file {name!r}; put it there, or take it out"
            bad.add(self._path, number, reason, name)

    def of(self, path: str, media: Media) -> Mapping[str, Any]:
        """See ``Annotations``."""
        size = int(media.measures["width"]), int(media.measures["height"])
        return {"objects": self._file.objects(self._names.entry(path), size)}


def open_coco(top: Path, data: Data, limits: Limits) -> dict[str, list[TableFile]]:
    """The parts of a folder with COCO files, one table each, with the column ``objects``.

    The file of a part is named by ``data.files``, or has the part in its name or its folder's (``instances_val2017``).

    Raises:
        InvalidInput: there is no COCO file or no image, or it is not clear which file is for which part.
    """
    files = _coco_files(top, data)
    parts = {part: _images_of(top, part, path) for part, path in files.items()}
    counts = {part: sum(1 for _ in chosen.files(top, "image")) for part, chosen in parts.items()}
    check_parts(counts, parts, "image", top)
    further = [] if data.path_pattern is None else [PatternColumns(PathPattern(data.path_pattern))]
    return {
        part: [
            MediaFolder(
                top,
                "coco",
                "image",
                partial(chosen.files, top, "image"),
                counts[part],
                [CocoBoxes(top, files[part], chosen, limits.max_line), *further],
            )
        ]
        for part, chosen in parts.items()
    }


def coco_files(top: Path) -> Iterator[str]:
    """Paths of the COCO files of a tree."""
    for found in walk(top):
        if found.suffix == ".json" and found.problem is None and looks_like_coco(top / found.path):
            yield found.path


def _coco_files(top: Path, data: Data) -> dict[PartName, str]:
    found = list(coco_files(top))
    if data.annotations is not None:
        if data.annotations not in found:
            raise InvalidInput(f"data.annotations {data.annotations!r} is no COCO file in the folder{_these(found)}")
        return {"data": data.annotations}
    if data.files:
        named: dict[PartName, str] = {}
        for part, pattern in data.files.items():
            fitting = [path for path in found if fits(path, pattern)]
            if len(fitting) != 1:
                problem = "fits no COCO file" if not fitting else "fits several COCO files"
                raise InvalidInput(f"data.files: {pattern!r} ({part}) {problem}{_these(fitting or found)}")
            named[part] = fitting[0]
        return ordered(named)
    if not found:
        raise InvalidInput("the folder holds no COCO file: a JSON object with images, annotations and categories")
    if len(found) == 1:
        return {"data": found[0]}
    by_part: dict[PartName, str] = {}
    for path in found:
        part_name = part_of_name(path.rpartition("/")[2], folder_of(path).rpartition("/")[2])
        if part_name is None or part_name in by_part:
            raise InvalidInput(f"it is not clear which COCO file is for which part{_these(found)}; {_SAY}")
        by_part[part_name] = path
    if not {"train", "test"} <= by_part.keys():
        raise InvalidInput(f"a dataset with given parts has both train and test{_these(found)}; {_SAY}")
    return ordered(by_part)


_SAY = (
    "say it in the recipe:  data: {files: {train: <file>, test: <file>}}  or use one file:  data: {annotations: <file>}"
)


def _these(paths: list[str]) -> str:
    return f" ({', '.join(paths[:10])})" if paths else ""


def _images_of(top: Path, part: PartName, path: str) -> Part:
    """Where the images of a file are: below its own folder, else below one named after the part, else anywhere."""
    own = folder_of(path)
    if own and next(media(top / own, "image"), None) is not None:
        return Part(own)
    said = part_of_name(path.rpartition("/")[2], own.rpartition("/")[2])
    if said is not None or part != "data":
        for folder in folders(top, _DEPTH):
            named = part_of_name(folder.rpartition("/")[2]) if folder else None
            if named is not None and named == (said or part) and next(media(top / folder, "image"), None) is not None:
                return Part(folder)
    return Part()

"""Opens images with annotations as in PASCAL VOC (Everingham et al. 2010): one XML file per image.

An image whose annotation holds no object has an empty list; one without an annotation is a bad row, because nobody
said that there is nothing in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.ingest.media.boxes import OBJECTS
from services.ingest.media.checks import Media, Unusable
from services.ingest.media.labels import PatternColumns
from services.ingest.media.parts import Part, check_parts, parts_of
from services.ingest.media.pattern import PathPattern
from services.ingest.media.reader import Annotations, MediaFolder
from services.ingest.media.tree import Found
from services.ingest.media.voc_tree import Sets, VocTree, find_tree, read_sets, tell_of_strays
from services.ingest.media.voc_xml import read_objects
from services.ingest.tables import BadRows, TableFile
from tidemill.contracts.data import Data, PartName
from tidemill.errors import InvalidInput


class VocBoxes:
    """The column ``objects``; ``tells`` of what belongs to no image, as one of the parts has to."""

    def __init__(self, tree: VocTree, sets: Sets, *, tells: bool) -> None:
        self._tree = tree
        self._sets = sets
        self._tells = tells
        self.columns: Mapping[str, pa.DataType] = {"objects": OBJECTS}

    def begin(self, bad: BadRows) -> None:
        """See ``Annotations``."""
        if self._tells:
            tell_of_strays(self._tree, self._sets, bad)

    def of(self, path: str, media: Media) -> Mapping[str, Any]:
        """See ``Annotations``."""
        file = self._tree.annotation(path)
        if file.is_symlink() or not file.is_file():
            raise Unusable(
                f"has no annotation {file.relative_to(self._tree.top)}; add one, without an object if nothing is in it"
            )
        size = int(media.measures["width"]), int(media.measures["height"])
        return {"objects": read_objects(file.read_bytes(), size)}


def open_voc(top: Path, data: Data) -> dict[str, list[TableFile]]:
    """The parts of a folder in VOC's form, one table each, with the column ``objects``.

    Parts are those of ``data.files``; else of ``ImageSets/Main`` when it has both train and test; else of folders.

    Raises:
        InvalidInput: there is no image, an image is in two parts, or ``data.annotations`` is set.
    """
    if data.annotations is not None:
        raise InvalidInput("data.annotations is for tables and COCO; VOC has one XML file per image; remove it")
    tree = find_tree(top)
    sets = {} if data.files else read_sets(tree)
    chosen: dict[PartName, Callable[[], Iterator[Found]]]
    parts: dict[PartName, Part]
    if sets:
        parts = {part: Part(tree.images) for part in sets}
        chosen = {part: partial(_of_set, tree, names) for part, names in sets.items()}
    else:
        by_folder = bool(data.files) or tree.annotations is None
        parts = parts_of(top, "image", data.files) if by_folder else {"data": Part(tree.images)}
        chosen = {part: partial(_of_part, tree, held) for part, held in parts.items()}
    counts = {part: sum(1 for _ in files()) for part, files in chosen.items()}
    check_parts(counts, parts, "image", top)
    further: list[Annotations] = []
    if data.path_pattern is not None:
        further.append(PatternColumns(PathPattern(data.path_pattern)))
    first = next(iter(chosen))
    return {
        part: [
            MediaFolder(top, "voc", "image", files, counts[part], [VocBoxes(tree, sets, tells=part == first), *further])
        ]
        for part, files in chosen.items()
    }


def _of_set(tree: VocTree, names: frozenset[str]) -> Iterator[Found]:
    return (found for found in tree.files() if tree.name(found.path) in names)


def _of_part(tree: VocTree, part: Part) -> Iterator[Found]:
    return (found for found in tree.files() if part.holds(found.path))

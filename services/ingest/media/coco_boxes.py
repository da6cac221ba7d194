"""A COCO file with its boxes by image.

What is wrong with an annotation is wrong with its image: without it, the image's boxes would not be all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.ingest.media.boxes import box
from services.ingest.media.checks import Unusable
from services.ingest.media.coco_columns import CocoColumns
from services.ingest.media.coco_json import elements
from services.ingest.tables import BadRows
from tidemill.errors import InvalidInput

_Ids = npt.NDArray[np.int64]


class CocoFile:
    """A COCO file (Lin et al. 2014; cocodataset.org, data format), read whole."""

    def __init__(self, path: Path, max_element: int, bad: BadRows | None) -> None:
        """``bad`` is told of annotations of images that are not in the file.

        Raises:
            InvalidInput: it is no COCO file, or its images or categories are missing or of no use.
        """
        self.path = path
        self._columns = CocoColumns()
        for key, number, element in elements(path, max_element):
            problem = self._columns.add(key, number, element)
            if problem is not None:
                raise InvalidInput(f"{path.name}, category {number}: {problem}; correct it")
        if not self._columns.file_names or not self._columns.labels:
            what = "categories" if self._columns.file_names else "images"
            raise InvalidInput(f"{path.name} has no {what}, which a COCO file for object detection has")
        self.names = pa.array(self._columns.file_names, pa.string())
        """The images' ``file_name``."""
        self._problems = dict(self._columns.image_problems)
        self._place(bad)

    def objects(self, image: int, size: tuple[int, int]) -> list[dict[str, Any]]:
        """The boxes of an image, by its number from 0, in the order of the file; ``size`` is its width and height.

        Raises:
            Unusable: the file's words on the image cannot be right.
        """
        columns = self._columns
        if image in self._problems:
            raise Unusable(f"cannot be used: {self._problems[image]}; correct {self.path.name}")
        said = columns.sizes[2 * image], columns.sizes[2 * image + 1]
        if min(said) > 0 and said != size:
            raise Unusable(
                f"is {size[0]} x {size[1]} pixels, but {self.path.name} says {said[0]} x {said[1]}; annotate it again"
            )
        found = []
        for at in self._order[self._begin[image] : self._begin[image + 1]].tolist():
            x, y, width, height = columns.bbox[4 * at : 4 * at + 4]
            label = columns.labels[columns.category_of[at]]
            found.append(box(label, (x, y, x + width, y + height), bool(columns.crowd[at])))
        return found

    def _place(self, bad: BadRows | None) -> None:
        """Put each box to its image, and note what is wrong with images."""
        images = np.array(self._columns.image_ids, dtype=np.int64)
        self._by_id = np.argsort(images, kind="stable")
        self._ids = images[self._by_id]
        for image in _repeated(images):
            said = self._columns.shown(int(images[image]))
            self._problems.setdefault(image, f"its id {said} is that of another image as well")
        image_of = self._images(np.array(self._columns.image_of, dtype=np.int64))
        for number, key, problem in self._columns.broken:
            image = len(images) if key is None else int(self._images(np.array([key]))[0])
            self._blame(image, number, problem, bad)
        for at in np.flatnonzero(image_of == len(images)).tolist():
            said = self._columns.shown(self._columns.image_of[at])
            self._blame(len(images), self._columns.number_of[at], f"is of image {said}, which is not there", bad)
        categories = np.array(self._columns.category_of, dtype=np.int64)
        known = np.array(list(self._columns.labels), dtype=np.int64)
        for at in np.flatnonzero(~np.isin(categories, known) & (image_of < len(images))).tolist():
            problem = f"has the category {self._columns.shown(int(categories[at]))}, which is not there"
            self._blame(int(image_of[at]), self._columns.number_of[at], problem, bad)
        for at in _repeated(np.array(self._columns.box_ids, dtype=np.int64)):
            if image_of[at] < len(images):
                problem = "has the id of another annotation"
                self._blame(int(image_of[at]), self._columns.number_of[at], problem, bad)
        self._order = np.argsort(image_of, kind="stable")
        self._begin = np.searchsorted(image_of[self._order], np.arange(len(images) + 1))

    def _blame(self, image: int, number: int, problem: str, bad: BadRows | None) -> None:
        said = f"annotation {number} {problem}"
        if image < len(self.names):
            self._problems.setdefault(image, said)
        elif bad is not None:
            bad.add(self.path, number, f"{self.path.name}: {said}; correct it, or take it out", said)

    def _images(self, keys: _Ids) -> _Ids:
        """Numbers of the images with these ids; the number of all images for one that is not there."""
        place = np.minimum(np.searchsorted(self._ids, keys), len(self._ids) - 1)
        return np.where(self._ids[place] == keys, self._by_id[place], len(self._ids))


def _repeated(ids: _Ids) -> Iterable[int]:
    """Where the ids are that occur more than once."""
    _, inverse, times = np.unique(ids, return_inverse=True, return_counts=True)
    found: list[int] = np.flatnonzero(times[inverse] > 1).tolist()
    return found

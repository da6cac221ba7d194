"""The lists of a COCO file as compact arrays: fifty bytes a box, however many there are. Joins nothing."""

from __future__ import annotations

import math
from array import array
from typing import Any, TypeGuard

_TEXT_IDS = -(1 << 62)
_OWN_IDS = -(1 << 63)
_LARGEST = 1e9


class CocoColumns:
    """Images, categories and boxes in their order. Ids are int64; texts as ids get numbers that no integer id has."""

    def __init__(self) -> None:
        self.labels: dict[int, str] = {}
        """Name of a category by its id."""
        self.image_ids = array("q")
        self.file_names: list[str | None] = []
        self.sizes = array("i")
        """Width and height of each image, 0 where the file does not say them."""
        self.image_problems: dict[int, str] = {}
        """By the number of the image, from 0."""
        self.image_of = array("q")
        """Of each box the id of its image."""
        self.category_of = array("q")
        self.number_of = array("q")
        """The number of its annotation in the file, from 1."""
        self.box_ids = array("q")
        self.bbox = array("f")
        """x, y, width and height, one box after the other."""
        self.crowd = array("b")
        self.broken: list[tuple[int, int | None, str]] = []
        """Annotations that are no boxes: number, id of the image if there is one, and what is wrong."""
        self._text_ids: dict[str, int] = {}

    def add(self, key: str, number: int, element: Any) -> str | None:
        """Add an element of the list ``key``. What is wrong with a category is given back; the file is useless then."""
        fields = element if isinstance(element, dict) else {}
        if key == "categories":
            return self._add_category(fields)
        if key == "images":
            self._add_image(fields)
        else:
            self._add_box(number, fields)
        return None

    def shown(self, key: int) -> str:
        """An id as the file has it."""
        return repr(next((text for text, number in self._text_ids.items() if number == key), key))

    def _add_category(self, fields: dict[str, Any]) -> str | None:
        key, name = self._key(fields.get("id")), fields.get("name")
        if key is None or not isinstance(name, str) or not name.strip():
            return "it has no id or no name"
        if key in self.labels:
            return f"its id {fields['id']!r} is there already"
        self.labels[key] = name.strip()
        return None

    def _add_image(self, fields: dict[str, Any]) -> None:
        key, name = self._key(fields.get("id")), fields.get("file_name")
        if key is None or not isinstance(name, str) or not name.strip():
            self.image_problems[len(self.file_names)] = "it has no id or no file_name"
        self.image_ids.append(_OWN_IDS + len(self.file_names) if key is None else key)
        self.file_names.append(name if isinstance(name, str) else None)
        self.sizes.extend((_side(fields.get("width")), _side(fields.get("height"))))

    def _add_box(self, number: int, fields: dict[str, Any]) -> None:
        image, category = self._key(fields.get("image_id")), self._key(fields.get("category_id"))
        bbox = fields.get("bbox")
        if image is None or category is None:
            self.broken.append((number, image, "has no image_id or no category_id"))
        elif not _is_bbox(bbox):
            self.broken.append((number, image, "has no bbox of four numbers (x, y, width, height)"))
        else:
            self.image_of.append(image)
            self.category_of.append(category)
            self.number_of.append(number)
            self.bbox.extend(bbox)
            self.crowd.append(fields.get("iscrowd") in (1, True))
            own = self._key(fields.get("id"))
            self.box_ids.append(_OWN_IDS + number if own is None else own)

    def _key(self, value: Any) -> int | None:
        if isinstance(value, str):
            return self._text_ids.setdefault(value, _TEXT_IDS + len(self._text_ids))
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62:
            return value
        return None


def _is_bbox(bbox: Any) -> TypeGuard[list[float]]:
    return (
        isinstance(bbox, list)
        and len(bbox) == 4
        and all(isinstance(side, int | float) and not isinstance(side, bool) for side in bbox)
        and all(math.isfinite(side) and abs(side) < _LARGEST for side in bbox)
    )


def _side(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31 else 0

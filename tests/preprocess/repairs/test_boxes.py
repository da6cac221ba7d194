"""Boxes that cannot be right are put right or go, and are counted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest

ROLES = {"image": "image", "objects": "objects"}
CORNERS = ("xmin", "ymin", "xmax", "ymax")
OBJECTS = pa.list_(
    pa.struct([("label", pa.string()), *((name, pa.float32()) for name in CORNERS), ("difficult", pa.bool_())])
)


def box(*corners: float, label: str | None = "cell", difficult: bool = False) -> dict[str, Any]:
    return {"label": label, **dict(zip(CORNERS, corners, strict=True)), "difficult": difficult}


def images(*objects: list[dict[str, Any]] | None, size: tuple[int | None, int | None] = (100, 50)) -> pa.Table:
    return pa.table({
        "width": pa.array([size[0]] * len(objects), pa.int32()),
        "height": pa.array([size[1]] * len(objects), pa.int32()),
        "objects": pa.array(list(objects), OBJECTS),
    })  # fmt: skip


def detect(repair, table: pa.Table):
    return repair("object-detection", ROLES, table)


def test_the_two_empty_boxes_of_bccd_are_removed_and_counted(real_data: Path, repair) -> None:
    rows = []
    for file in sorted((real_data / "bccd" / "BCCD" / "Annotations").glob("*.xml")):
        root = ElementTree.parse(file).getroot()
        found = [
            box(*(float(one.findtext(f"bndbox/{name}")) for name in CORNERS), label=one.findtext("name"))
            for one in root.iter("object")
        ]
        rows.append(found)
    before = sum(map(len, rows))
    result = detect(repair, images(*rows, size=(640, 480)))
    assert result.counts == {"empty boxes": 2}
    assert len(result.rows) == 364
    assert sum(len(row["objects"]) for row in result.rows) == before - 2
    gone = [a for a, b in zip(rows, result.rows, strict=True) if len(a) != len(b["objects"])]
    assert len(gone) == 2


def test_boxes_are_clipped_to_their_image(repair) -> None:
    result = detect(repair, images([box(-5, -1, 30, 20), box(0, 0, 100, 50)], [], [box(90, 40, 120, 60)]))
    assert [row["objects"] for row in result.rows] == [
        [box(0, 0, 30, 20), box(0, 0, 100, 50)], [], [box(90, 40, 100, 50)],
    ]  # fmt: skip
    assert result.counts == {"clipped boxes": 2}


def test_a_box_outside_its_image_is_empty_once_it_is_clipped(repair) -> None:
    result = detect(repair, images([box(120, 10, 140, 20), box(1, 1, 2, 2)]))
    assert [row["objects"] for row in result.rows] == [[box(1, 1, 2, 2)]]
    assert result.counts == {"clipped boxes": 1, "empty boxes": 1}


@pytest.mark.parametrize(
    "corners", [(5, 5, 5, 9), (5, 5, 9, 5), (9, 5, 5, 9), (5, 9, 9, 5), (math.nan, 1, 5, 5), (1, 1, math.nan, 5)]
)
def test_boxes_without_an_area_go_and_their_image_stays(repair, corners: tuple[float, ...]) -> None:
    result = detect(repair, images([box(*corners)]))
    assert [row["objects"] for row in result.rows] == [[]]
    assert result.counts["empty boxes"] == 1


def test_the_same_box_with_the_same_label_in_the_same_image_stays_once(repair) -> None:
    one, other = box(1, 1, 5, 5), box(1, 1, 5, 5, label="细胞")
    result = detect(repair, images([one, other, one, one], [one]))
    assert [row["objects"] for row in result.rows] == [[one, other], [one]]
    assert result.counts == {"duplicate boxes": 2}


def test_an_image_without_a_list_keeps_none_and_one_without_a_size_is_not_clipped(repair) -> None:
    result = detect(repair, images(None, [box(1, 1, 999, 999)], size=(None, 0)))
    assert [row["objects"] for row in result.rows] == [None, [box(1, 1, 999, 999)]]
    assert result.counts == {}


def test_no_image_at_all(repair) -> None:
    assert detect(repair, images()).rows == []

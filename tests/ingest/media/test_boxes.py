"""Boxes of VOC and COCO annotations become one column."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.media.conftest import coco, image, voc
from tidemill.errors import InvalidInput

CAT = {"label": "cat", "xmin": 1.0, "ymin": 2.0, "xmax": 11.0, "ymax": 22.0, "difficult": False}


def test_bccd_is_read_whole_with_its_given_parts(real_data: Path, read) -> None:
    result = read(real_data / "bccd")
    assert not result.bad.found
    assert {part: len(rows) for part, rows in result.rows.items()} == {"train": 205, "validation": 87, "test": 72}
    assert len({row["path"] for row in result.all}) == 364
    assert {(row["width"], row["height"]) for row in result.all} == {(640, 480)}
    objects = [found for row in result.all for found in row["objects"]]
    assert len(objects) == 4888
    assert Counter(found["label"] for found in objects).keys() == {"RBC", "WBC", "Platelets"}
    # Nothing is repaired here: its two boxes without an area are still there.
    assert sum(found["xmin"] == found["xmax"] for found in objects) == 2
    first = next(row for row in result.all if row["path"].endswith("BloodImage_00000.jpg"))
    assert first["objects"][0] == {
        "label": "WBC", "xmin": 260.0, "ymin": 177.0, "xmax": 491.0, "ymax": 376.0, "difficult": False,
    }  # fmt: skip
    assert first["image"] == (real_data / "bccd" / first["path"]).read_bytes()


def voc_tree(**annotations: bytes) -> dict[str, bytes]:
    files = {f"JPEGImages/{name}.jpg": image() for name in annotations}
    return files | {f"Annotations/{name}.xml": xml for name, xml in annotations.items()}


def test_an_annotation_without_an_object_is_an_empty_list(folder, read) -> None:
    result = read(folder(voc_tree(a=voc(), b=voc(("cat", (1, 2, 11, 22))))))
    assert [row["objects"] for row in result.rows["data"]] == [[], [CAT]]


def test_an_image_without_an_annotation_is_a_bad_row(folder, read) -> None:
    result = read(folder({**voc_tree(a=voc()), "JPEGImages/b.jpg": image()}))
    assert [row["path"] for row in result.all] == ["JPEGImages/a.jpg"]
    assert result.bad.reasons == [
        "JPEGImages/b.jpg has no annotation Annotations/b.xml; add one, without an object if nothing is in it"
    ]


def test_annotations_may_lie_beside_their_images_in_folders_of_parts(folder, read) -> None:
    files: dict[str, bytes] = {}
    for part in ("train", "test"):
        files |= {f"{part}/1.png": image("PNG"), f"{part}/1.xml": voc(("猫", (1, 2, 11, 22)))}
    result = read(folder(files))
    assert {part: rows[0]["objects"] for part, rows in result.rows.items()} == {
        part: [CAT | {"label": "猫"}] for part in ("train", "test")
    }


def test_an_annotation_in_gbk_is_read(folder, read) -> None:
    xml = voc(("细胞", (1, 2, 11, 22)), head='<?xml version="1.0" encoding="gbk"?>').decode().encode("gbk")
    assert read(folder(voc_tree(a=xml))).all[0]["objects"][0]["label"] == "细胞"


def test_lists_of_parts_have_to_fit_the_images(folder, read) -> None:
    lists = {"train": b"a\nghost\n", "test": b"b 1\n"}
    files = voc_tree(a=voc(), b=voc(), c=voc()) | {f"ImageSets/Main/{name}.txt": text for name, text in lists.items()}
    files["Annotations/z.xml"] = voc()
    result = read(folder(files))
    assert {part: len(rows) for part, rows in result.rows.items()} == {"train": 1, "test": 1}
    assert result.bad.reasons == [
        "annotation z.xml has no image; put it there, or remove it",
        "ImageSets/Main/train.txt names 'ghost', and there is no such image; take it out",
        "JPEGImages/c.jpg is in none of the lists of ImageSets/Main; add it to one, or remove it",
    ]
    with pytest.raises(InvalidInput, match=r"'b' is in both train.txt and test.txt"):
        read(folder({"ImageSets/Main/train.txt": b"a\nb\n"}))


def test_without_a_list_for_the_test_part_all_images_are_one_part(folder, read) -> None:
    result = read(folder({**voc_tree(a=voc(), b=voc()), "ImageSets/Main/train.txt": b"a\n"}))
    assert {part: len(rows) for part, rows in result.rows.items()} == {"data": 2}


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (b"<annotation><object>", "no whole XML"),
        (b"", "no whole XML"),
        (b"\x89PNG", "no whole XML"),
        (b"<html></html>", "no VOC: it begins with <html>"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "document type or entities"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "document type or entities"),
        (b"<annotation>" + b"<a>" * 90 + b"</a>" * 90 + b"</annotation>", "nested too deeply"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "not in the encoding it declares"),
        (b'<?xml version="1.0" encoding="hex"?><annotation/>', "not in the encoding it declares"),
        (voc(("cat", (1, "two", 3, 4))), "'two' where its annotation should have a number (bndbox/ymin)"),
        (voc(("cat", (1, "", 3, 4))), "'' where its annotation should have a number"),
        (voc(("cat", (1, "nan", 3, 4))), "corners that are no four numbers"),
        (voc(("cat", (1, "1e99", 3, 4))), "corners that are no four numbers"),
        (voc(("  ", (1, 2, 3, 4))), "object without a name"),
        (voc(size=(30, 40)), "is 40 x 30 pixels, but its annotation is for 30 x 40"),
    ],
)
def test_a_broken_annotation_makes_its_image_a_bad_row(folder, read, xml: bytes, says: str) -> None:
    result = read(folder({**voc_tree(a=xml, b=voc())}), "voc")
    assert [row["path"] for row in result.all] == ["JPEGImages/b.jpg"]
    (reason,) = result.bad.reasons
    assert reason.startswith("JPEGImages/a.jpg ")
    assert says in reason


def images(*ids: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"id": id, "file_name": f"{id}.png", **more} for id in ids]


def boxed(image_id: Any, id: Any = 1, bbox: Any = (1, 2, 10, 20), **more: Any) -> dict[str, Any]:
    return {"id": id, "image_id": image_id, "category_id": 1, "bbox": bbox, **more}


def pngs(*names: Any) -> dict[str, bytes]:
    return {f"images/{name}.png": image("PNG") for name in names}


def test_boxes_of_coco_are_corners(folder, read) -> None:
    file = coco(
        images(7, 8, 9, width=40, height=30), [boxed(9, 1), boxed(7, 2), boxed(9, 3, (0.5, 0, 1, 1), iscrowd=1)]
    )
    result = read(folder({**pngs(7, 8, 9), "annotations/instances.json": file}))
    assert not result.bad.found
    crowd = {"label": "cat", "xmin": 0.5, "ymin": 0.0, "xmax": 1.5, "ymax": 1.0, "difficult": True}
    assert [row["objects"] for row in result.rows["data"]] == [[CAT], [], [CAT, crowd]]


def test_annotations_may_come_before_images_and_ids_may_be_texts(folder, read) -> None:
    file = (
        '\ufeff{"annotations": [{"id": "x", "image_id": "图", "category_id": "k", "bbox": [1, 2, 10, 20]}],'
        ' "images": [{"id": "图", "file_name": "images/a.png"}], "categories": [{"id": "k", "name": "cat"}]}'
    )
    assert read(folder({**pngs("a"), "coco.json": file.encode()})).all[0]["objects"] == [CAT]


@pytest.mark.parametrize(
    "places",
    [
        {"train": ("annotations/instances_train2017.json", "train2017"), "test": ("annotations/test.json", "test2017")},
        {"train": ("train/_annotations.coco.json", "train"), "test": ("test/_annotations.coco.json", "test")},
    ],
)
def test_files_named_after_parts_take_the_images_of_their_part(
    folder, read, places: dict[str, tuple[str, str]]
) -> None:
    files: dict[str, bytes] = {}
    for part, (file, below) in places.items():
        label = 1 if part == "train" else 2
        files |= {file: coco(images(1), [{**boxed(1), "category_id": label}]), f"{below}/1.png": image("PNG")}
    result = read(folder(files))
    assert not result.bad.found
    assert {part: rows[0]["objects"][0]["label"] for part, rows in result.rows.items()} == {
        "train": "cat",
        "test": "狗",
    }


def test_which_coco_file_is_for_which_part_has_to_be_said(folder, read) -> None:
    files = {"a.json": coco(images(1), []), "b.json": coco(images(2), []), **pngs(1, 2)}
    top = folder(files)
    with pytest.raises(InvalidInput, match=r"not clear which COCO file .* \(a.json, b.json\).*files: \{train"):
        read(top)
    assert [row["path"] for row in read(top, annotations="b.json").all] == ["images/2.png"]
    with pytest.raises(InvalidInput, match=r"'c.json' is no COCO file in the folder \(a.json, b.json\)"):
        read(top, "coco", annotations="c.json")
    parts = read(top, "coco", files={"train": "a.json", "test": "b.json"}).rows
    assert {part: rows[0]["path"] for part, rows in parts.items()} == {"train": "images/1.png", "test": "images/2.png"}


@pytest.mark.parametrize(
    ("listed", "annotations", "left", "says"),
    [
        (images(1, 2, 3), [], [1, 2], ["coco.json, image 3: there is no file '3.png'"]),
        (images(1), [], [1], ["images/2.png is named by no image of coco.json"]),
        (images(1, 2), [{**boxed(1), "category_id": 99}], [2], ["annotation 1 has the category 99, which is not"]),
        (images(1, 2), [boxed(99)], [1, 2], ["annotation 1 is of image 99, which is not there"]),
        (images(1, 2), [boxed(2, 5), boxed(1, 5)], [], ["annotation 2 has the id of another", "annotation 1 has the"]),
        ([*images(1), {"id": 1, "file_name": "2.png"}], [], [], ["its id 1 is that of another image as well"] * 2),
        ([*images(1, 2), {"id": 3, "file_name": "2.png"}], [], [1], ["by more than one image of coco.json (2, 3)"]),
        ([*images(1, 2), {"file_name": "2.png"}], [], [1], ["named by more than one image"]),
        ([*images(1), {"file_name": "2.png"}], [], [1], ["it has no id or no file_name"]),
        ([*images(1, 2), 7], [], [1, 2], ["image 3: there is no file ''"]),
        (images(1, 2), [boxed(1, bbox=[1, 2, 3])], [2], ["annotation 1 has no bbox of four numbers"]),
        (images(1, 2), [boxed(2, bbox=[1, 2, "3", 4])], [1], ["has no bbox of four numbers"]),
        (images(1, 2), [boxed(2, bbox=[1, 2, float("nan"), 4])], [1], ["has no bbox of four numbers"]),
        (images(1, 2), ["box"], [1, 2], ["annotation 1 has no image_id or no category_id"]),
        (images(1, 2, width=30, height=40), [], [], ["is 40 x 30 pixels, but coco.json says 30 x 40"] * 2),
        ([*images(1), {"id": 2, "file_name": "../../etc/2.png"}], [], [1], ["no file '../../etc/2.png'", "by no"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_in_coco_is_a_bad_row(
    folder, read, listed: list[Any], annotations: list[Any], left: list[int], says: list[str]
) -> None:
    result = read(folder({**pngs(1, 2), "coco.json": coco(listed, annotations)}), "coco")
    assert [row["path"] for row in result.all] == [f"images/{name}.png" for name in left]
    assert len(result.bad.found) == len(says)
    for reason, part in zip(result.bad.reasons, says, strict=True):
        assert part in reason


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (coco(images(1), [])[:-30], r"not valid JSON"),
        (coco(images(1), [], []), "has no categories"),
        (coco([], []), "has no images"),
        (coco(images(1), [], [{"id": 1}]), "category 1: it has no id or no name"),
        (
            coco(images(1), [], [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]),
            "category 2: its id 1 is there already",
        ),
        (b'{"images": {}, "annotations": [], "categories": []}', "'images' has to be a list"),
        (coco(images(1), []) + b"x", "something follows the end"),
        (b'{"images": [], "annotations": ' + b"[" * 100_000, "not valid JSON"),
        (coco(images("\udcff"), []).replace(b"\\udcff", b"\xff"), "is no UTF-8"),
    ],
)
def test_a_file_that_is_no_coco_is_refused(folder, read, file: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as error:
        read(folder({**pngs(1), "coco.json": file}), "coco")
    assert "coco.json" in str(error.value)

"""NumPy archives: columns, parts, images; nothing pickled, nothing that is not as large as it says."""

from __future__ import annotations

import io
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.ingest.reading import read_folder
from tidemill.errors import InvalidInput


def npz(**arrays) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode().ljust(118, b" ") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def test_arrays_are_columns(read_files) -> None:
    content = npz(
        x=np.array([[1.5, 2], [3, 4]], order="F"), label=np.array([[1], [0]], np.uint8), name=np.array(["你好", "b"]),
        raw=np.array([b"c", b"d"]), yes=np.array([True, False]), big=np.array([1, 2], ">i4"),
        day=np.array(["2024-01-02", "2000-01-01"], "datetime64[D]"), cube=np.zeros((2, 1, 2, 1)),
    )  # fmt: skip
    read = read_files({"x.npz": content})
    assert read.rows()[0] == {
        "x_1": 1.5, "x_2": 2.0, "label": 1, "name": "你好", "raw": "c", "yes": True, "big": 1, "day": date(2024, 1, 2),
        "cube": [[[0.0], [0.0]]],
    }  # fmt: skip
    assert read.table.kinds["label"] == "integer"
    assert read.table.kinds["cube"] == "nested"
    assert "name" not in read.table.kinds


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 1), (3, 4, 5, 3), (3, 4, 5, 4)])
def test_images_become_png_files(read_files, shape) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    read = read_files({"x.npz": npz(images=pixels, labels=np.arange(3))})
    assert read.table.kinds == {"image": "image", "label": "integer"}
    for row, wanted in zip(read.rows(), pixels, strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["image"]))).reshape(wanted.shape), wanted)


@pytest.mark.parametrize("name", ["train_{}", "{}_train"])
def test_names_of_arrays_say_the_parts(read_files, name: str) -> None:
    arrays = {
        name.format(column).replace("train", part): np.arange(rows)
        for part, rows in (("train", 5), ("val", 2), ("test", 3))
        for column in ("x", "y")
    }
    read = read_files({"x.npz": npz(**arrays)})
    assert read.parts == {"train": 5, "validation": 2, "test": 3}
    assert read.rows("test")[2] == {"x": 2, "y": 2}


def test_pneumoniamnist_is_read_in_its_parts(real_data: Path) -> None:
    read = read_folder(real_data / "pneumoniamnist")
    assert read.parts == {"train": 2428, "validation": 270, "test": 468}
    with np.load(real_data / "pneumoniamnist" / "pneumoniamnist.npz") as published:
        for row in (0, 467):
            pixels = np.asarray(Image.open(io.BytesIO(read.rows("test")[row]["image"])))
            assert np.array_equal(pixels, published["test_images"][row])
        assert [row["label"] for row in read.rows("test")] == published["test_labels"][:, 0].tolist()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (npz(a=np.array([{"x": 1}], object)), "the array 'a' holds pickled objects, which are never read"),
        (npz(a=np.zeros(3), b=np.zeros(4)), "the array 'b' has 4 rows, unlike 'a'"),
        (npz(a=np.zeros(3), b=np.float64(1)), "the array 'b' is a single value, unlike 'a'"),
        (npz(a=np.zeros(0)), "has no rows"),
        (npz(a=np.zeros((2, 20_000))), "has 20,000 columns"),
        (npz(a=np.zeros(2, complex)), "values of type complex128, which no column has"),
        (npz(a=np.zeros(2, [("x", "i4")])), "has fields; save each as an array of its own"),
        (npz(train_x=np.zeros(2), test_x=np.zeros(2), names=np.zeros(2)), "'names' belongs to no part"),
    ],
)
def test_what_is_no_table_is_refused(read_files, content: bytes, says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read_files({"x.npz": content}, tolerant=True)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "member",
    [
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", bytes(15)),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n(S'true'\ntR."),
        npy("{'descr': '<f8'"),
        npy("__import__('os').abort()"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), 'more': 1}", bytes(16)),
        npy("(" * 100),
        b"\x93NUMPY\x09\x00",
        b"",
    ],
)
def test_a_header_that_lies_is_refused(read_files, member: bytes) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.npy", member)
    with pytest.raises(InvalidInput, match=r"x.npz: the array 'a'"):
        read_files({"x.npz": out.getvalue()}, tolerant=True)

"""Archives are unpacked where they are a dataset's wrapping, and left alone where they are its files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from services.ingest.archives import UnpackLimits, unpack
from tests.ingest.archives.conftest import Unpack
from tests.ingest.archives.packing import ROWS, joined, tar_entry, tarred, with_unicode_path, zip_entry, zipped
from tidemill.errors import HandedBack
from tidemill.jobs.report import SilentReport

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
}
TREE = {"train/猫/1.png": b"1", "train/狗/2.png": b"2", "labels.csv": ROWS}


def test_a_source_without_archives_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.csv").write_bytes(ROWS)
    found = unpack(tmp_path / "source", tmp_path / "into", UnpackLimits(), SilentReport())
    assert found == tmp_path / "source"
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_becomes_its_files(unpacked: Unpack, method: int) -> None:
    assert unpacked({"set.zip": zipped(TREE, method)}) == TREE


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("ending", ["", *COMPRESSIONS])
def test_a_tar_becomes_its_files_however_it_is_compressed(unpacked: Unpack, form: int, ending: str) -> None:
    long = {f"{'长' * 20}/{'n' * 120}.csv": ROWS} if form != tarfile.USTAR_FORMAT else {}
    packed = tarred({f"./{name}": content for name, content in (TREE | long).items()}, form)
    assert unpacked({f"set.tar{ending and '.'}{ending}": COMPRESSIONS.get(ending, bytes)(packed)}) == TREE | long


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_a_file_compressed_alone_becomes_itself(unpacked: Unpack, ending: str) -> None:
    compress = COMPRESSIONS[ending]
    assert unpacked({f"评论.csv.{ending}": compress(ROWS)}) == {"评论.csv": ROWS}
    assert unpacked({f"train.csv.{ending}": compress(ROWS), "test.csv": ROWS}) == {"train.csv": ROWS, "test.csv": ROWS}
    assert unpacked({"a.csv": compress(ROWS)}) == {"a.csv": ROWS}, "the content says what it is, not the name"
    assert unpacked({f"a.csv.{ending}": compress(ROWS) + compress(ROWS)}) == {"a.csv": 2 * ROWS}, "streams in a row"


def test_one_folder_at_the_top_is_stepped_into(unpacked: Unpack) -> None:
    inside = {f"reviews-1.0/{name}": content for name, content in TREE.items()}
    assert unpacked({"set.zip": zipped(inside)}) == TREE
    assert unpacked({"set.zip": zipped(inside | {"README.md": b"read"})}) == TREE
    assert unpacked({"set.zip": zipped(inside | {"more.csv": ROWS})}) == inside | {"more.csv": ROWS}


def test_archives_beside_each_other_get_folders_of_their_names(unpacked: Unpack) -> None:
    images = {
        "train.zip": zipped({"train/a.png": b"a"}),
        "test.tar.gz": gzip.compress(tarred({"b.png": b"b", "c.png": b"c"})),
    }
    assert unpacked(images | {"labels.csv": ROWS}) == {
        "train/a.png": b"a", "test/b.png": b"b", "test/c.png": b"c", "labels.csv": ROWS,
    }  # fmt: skip
    assert unpacked({"set.zip": zipped(TREE), "README.md": b"read"}) == TREE


def test_an_archive_in_an_archive_is_unpacked_too(unpacked: Unpack) -> None:
    inner = {
        "train.csv.gz": gzip.compress(ROWS),
        "images.tar": tarred({"images/a.png": b"a"}),
        "data": gzip.compress(ROWS),
    }
    assert unpacked({"set.zip": zipped(inner)}) == {"train.csv": ROWS, "images/a.png": b"a", "data": ROWS}
    assert unpacked({"set.zip.gz": gzip.compress(zipped({"a.csv": ROWS, "b.csv": ROWS}))}) == {
        "a.csv": ROWS,
        "b.csv": ROWS,
    }


def test_workbooks_and_numpy_archives_are_zips_that_stay_whole(unpacked: Unpack) -> None:
    files = {
        "book.xlsx": zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"}),
        "book.ods": zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet", "content.xml": b"<x/>"}),
        "images.npz": zipped({"train_images.npy": b"\x93NUMPY", "train_labels.npy": b"\x93NUMPY"}),
    }
    assert unpacked(files) == files
    assert unpacked({"set.zip": zipped(files)}) == files


def test_hidden_members_are_left_out_and_counted(unpacked: Unpack) -> None:
    said: list[str] = []

    class Listening(SilentReport):
        def progress(self, fraction: object, message: str = "", metrics: object = None) -> None:
            said.append(message)

    members = {"set/.DS_Store": b"x", "__MACOSX/set/._a.csv": b"x", "set/Thumbs.db": b"x", "set/a.csv": ROWS}
    assert unpacked({"set.zip": zipped(members)}, report=Listening()) == {"a.csv": ROWS}
    assert unpacked({"set.tar": tarred(members)}) == {"a.csv": ROWS}
    assert said[-1].endswith("3 hidden ones left out")


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("训练数据/好评.csv".encode("gbk"), "训练数据/好评.csv"),
        ("數據.csv".encode("gb18030"), "數據.csv"),
        ("训练.csv".encode(), "训练.csv"),
        ("résumé.csv".encode("cp437"), "résumé.csv"),
        ("naïve.csv".encode("cp437"), "naïve.csv"),
    ],
)
def test_names_of_old_zips_are_readable(unpacked: Unpack, raw: bytes, name: str) -> None:
    (found,) = unpacked({"set.zip": zip_entry(raw)})
    assert found == name.rpartition("/")[2]


def test_a_unicode_name_beside_the_old_one_is_taken(unpacked: Unpack) -> None:
    assert unpacked({"set.zip": with_unicode_path(b"???.csv", "数据é.csv")}) == {"数据é.csv": ROWS}


def test_links_inside_an_archive_become_copies(unpacked: Unpack) -> None:
    packed = joined(
        tar_entry("data/a.csv", content=ROWS),
        tar_entry("data/hard.csv", tarfile.LNKTYPE, "data/a.csv"),
        tar_entry("links/soft.csv", tarfile.SYMTYPE, "../data/a.csv"),
        tar_entry("links/again.csv", tarfile.SYMTYPE, "soft.csv"),
    )
    names = ("data/a.csv", "data/hard.csv", "links/soft.csv", "links/again.csv")
    assert unpacked({"set.tar": packed}) == dict.fromkeys(names, ROWS)


def test_a_worker_that_wants_to_leave_hands_the_unpacking_back(unpacked: Unpack) -> None:
    class Leaving(SilentReport):
        stop_requested = True

    for name, packed in (("a.zip", zipped(TREE)), ("a.tar", tarred(TREE)), ("a.gz", gzip.compress(ROWS))):
        with pytest.raises(HandedBack):
            unpacked({name: packed}, report=Leaving())

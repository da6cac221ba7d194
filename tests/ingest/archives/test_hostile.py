"""Archives that are broken, or made to do harm: each is refused in words, and nothing lies outside the folder."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.archives import UnpackLimits, unpack
from tests.ingest.archives.conftest import Unpack
from tests.ingest.archives.packing import (
    ROWS,
    joined,
    overlapping,
    tar_entry,
    tar_header,
    tarred,
    with_figure,
    zip_entry,
    zipped,
)
from tidemill.errors import InvalidInput
from tidemill.jobs.report import SilentReport

END = bytes(1024)


def flagged(packed: bytes, flag: int) -> bytes:
    return with_figure(packed, 8, "<H", flag)


NAMES = [
    ("../a.csv", "leads out of its folder"),
    ("a/../../b.csv", "leads out of its folder"),
    ("..", "leads out of its folder"),
    ("/etc/cron.d/a", "is an absolute path"),
    ("//host/share/a.csv", "is an absolute path"),
    ("C:/a.csv", "is an absolute path"),
    ("c:a.csv", "is an absolute path"),
    ("a\\..\\b.csv", "holds a backslash"),
    ("a\nb.csv", "holds a control character"),
    ("a\x1b[2Jb.csv", "holds a control character"),
    ("n" * 256, "more than 255 bytes"),
    ("长" * 86 + ".csv", "more than 255 bytes"),
    ("/".join("d" * 33), "is an absolute path or more than 32 folders"),
    ("/".join(["d" * 200] * 6), "more than 1,024 bytes"),
]


@pytest.mark.parametrize(("name", "says"), NAMES)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_name_that_leads_elsewhere_is_refused(
    unpacked: Unpack, pack: Callable[..., bytes], name: str, says: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        unpacked({"set": pack({"good.csv": ROWS, name: ROWS})})
    assert any(word in str(raised.value) for word in says.split(" or "))
    assert "archive set holds" in str(raised.value)


PAIRS = [
    (("a.csv", "a.csv"), "twice"),
    (("a.csv", "./a.csv"), "twice"),
    (("A.csv", "a.CSV"), "only in case or Unicode form"),
    (("é.csv", "e\u0301.csv"), "only in case or Unicode form"),
    (("straße.csv", "STRASSE.csv"), "only in case or Unicode form"),
    (("a", "a/b.csv"), "both as a file and as a folder"),
    (("a/b.csv", "A"), "both as a file and as a folder"),
]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("names", "says"), PAIRS)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_cannot_be_told_apart_are_refused(
    unpacked: Unpack, kind: str, names: tuple[str, str], says: str
) -> None:
    packed = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            for name in names:
                archive.writestr(name, ROWS)
    else:
        packed.write(joined(*(tar_entry(name, content=ROWS) for name in names)))
    with pytest.raises(InvalidInput, match=says):
        unpacked({"set": packed.getvalue()})


HOSTILE = {
    "a zip with a link out": (zip_entry(b"a.csv", b"../../etc/passwd", mode=stat.S_IFLNK | 0o777), "leads out of it"),
    "a zip with an absolute link": (zip_entry(b"a.csv", b"/etc/passwd", mode=stat.S_IFLNK | 0o777), "leads out of it"),
    "a zip with a link to nothing": (zip_entry(b"a.csv", b"b.csv", mode=stat.S_IFLNK | 0o777), "is no file in it"),
    "a zip with an endless link": (zip_entry(b"a.csv", b"x" * 5000, mode=stat.S_IFLNK | 0o777), "is too long"),
    "a zip with a device": (zip_entry(b"a.csv", mode=stat.S_IFBLK | 0o600), "no regular file"),
    "a zip with a name that NUL ends": (zip_entry(b"a.csv\0.png"), "control character"),
    "an encrypted zip": (flagged(zipped({"a.csv": ROWS}), 1), "encrypted"),
    "a zip of an unknown method": (with_figure(zipped({"a.csv": ROWS}), 10, "<H", 99), "method 99"),
    "a zip of shared bytes": (overlapping(), "share the same bytes"),
    "a zip without members": (zipped({}), "holds no file"),
    "a zip of hidden files alone": (zipped({".a.csv": ROWS}), "holds no file that is not hidden"),
    "a zip of folders alone": (zipped({"a/": b""}), "holds no file"),
    "a cut zip": (zipped({"a.csv": ROWS})[:-8], "damaged or cut"),
    "a zip without its directory": (zipped({"a.csv": ROWS * 99})[:60], "damaged or cut"),
    "a zip whose size is too small": (with_figure(zipped({"a.csv": ROWS}), 24, "<L", 3), "damaged or cut"),
    "a zip whose size is too large": (with_figure(zipped({"a.csv": ROWS}), 24, "<L", 999), "damaged or cut"),
    "a zip with a wrong checksum": (with_figure(zipped({"a.csv": ROWS}), 16, "<L", 1), "damaged or cut"),
    "a zip whose member reaches too far": (with_figure(zipped({"a.csv": ROWS}), 20, "<L", 10**6), "reaches into"),
    "a zip with a huge directory": (
        zipped({"a.csv": ROWS})[:-10] + b"\xff\xff\xff\x7f" + zipped({"a.csv": ROWS})[-6:], "damaged or cut",
    ),
    "a tar with a link out": (tar_entry("a", tarfile.SYMTYPE, "../../etc/passwd"), "leads out of it"),
    "a tar with an absolute link": (tar_entry("a", tarfile.SYMTYPE, "/etc/passwd"), "leads out of it"),
    "a tar with a hard link out": (tar_entry("b/a", tarfile.LNKTYPE, "../etc/passwd"), "leads out of it"),
    "a tar with a link to itself": (tar_entry("a", tarfile.SYMTYPE, "a"), "is no file in it"),
    "a tar that writes through a link": (
        joined(tar_entry("d", tarfile.SYMTYPE, "."), tar_entry("d/a.csv", content=ROWS)), "as a file and as a folder",
    ),
    "a tar with a character device": (tar_entry("a", tarfile.CHRTYPE), "a character device"),
    "a tar with a block device": (tar_entry("a", tarfile.BLKTYPE), "a block device"),
    "a tar with a pipe": (tar_entry("a", tarfile.FIFOTYPE), "a named pipe"),
    "a tar with a sparse file": (tar_header(b"a", b"00000000000", b"S") + END, "sparse"),
    "a tar of unknown members": (tar_header(b"a", b"00000000000", b"Q") + END, "no regular file"),
    "a tar with a negative size": (tar_header(b"a", b"\xff" * 12, b"0") + END, "no valid size"),
    "a tar with a size of letters": (tar_header(b"a", b"many", b"0") + END, "no valid size"),
    "a tar with an endless header": (tar_header(b"x", b"77777777777", b"x") + END, "a header of"),
    "a tar with an endless name": (tar_header(b"L", b"77777777777", b"L") + END, "a header of"),
    "a tar with a bad extended header": (
        tar_header(b"x", b"00000000005", b"x") + b"hello".ljust(512, b"\0") + END, "cannot be read",
    ),
    "a cut tar": (tarred({"a.csv": ROWS * 99})[:1024], "in the middle of a member"),
    "a tar without an end": (tarred({"a.csv": ROWS})[:1024], "in the middle of a member"),
    "a tar with a damaged header": (tarred({"a": ROWS, "b": ROWS}).replace(b"b\0\0\0", b"c\0\0\0"), "wrong checksum"),
    "a tar with more behind its end": (tarred({"a.csv": ROWS}) + b"more", "behind its end mark"),
    "a cut gzip": (gzip.compress(os.urandom(5000))[:-9], "ends too early"),
    "a gzip with a wrong checksum": (gzip.compress(ROWS)[:-8] + bytes(8), "cannot be decompressed"),
    "a gzip with more behind it": (gzip.compress(ROWS) + b"more", "cannot be decompressed"),
    "a damaged gzip": (gzip.compress(ROWS)[:10] + b"\xff" * 50, "cannot be decompressed"),
    "a cut bzip2": (bz2.compress(ROWS)[:-5], "ends too early"),
    "a damaged bzip2": (bz2.compress(ROWS)[:20] + bytes(30), "cannot be decompressed"),
    "a cut xz": (lzma.compress(ROWS)[:-5], "ends too early"),
    "a damaged xz": (lzma.compress(ROWS)[:20] + bytes(30), "cannot be decompressed"),
    "an xz that wants gigabytes": (
        lzma.compress(ROWS, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]), "cannot be decompressed",
    ),
    "a cut zstd": (zstandard.compress(os.urandom(5000))[:-9], "ends too early"),
    "a damaged zstd": (zstandard.compress(ROWS)[:6] + b"\xff" * 50, "cannot be decompressed"),
    "a 7z": (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7z archive"),
    "a RAR": (b"Rar!\x1a\x07\x01\x00" + bytes(100), "RAR archive"),
    "an archive in an archive in an archive": (
        zipped({"a.zip": zipped({"b.tar": tarred({"c.csv": ROWS})})}), "an archive in an archive in an archive",
    ),
    "an archive named after its own folder": (
        zipped({"a.zip": zipped({"b.csv": ROWS}), "a/c.csv": ROWS}), "is there twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("packed", "says"), HOSTILE.values(), ids=list(HOSTILE))
def test_what_is_broken_or_made_to_harm_is_refused(unpacked: Unpack, packed: bytes, says: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        unpacked({"set": packed})
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.csv.gz", "a.tgz", "a.tar.xz", "a.zst", "a.bz2"])
@pytest.mark.parametrize("content", [b"", ROWS, b"<html>not found</html>", b"PK", b"\x1f\x8b"])
def test_what_is_only_named_like_an_archive_is_refused(unpacked: Unpack, name: str, content: bytes) -> None:
    with pytest.raises(InvalidInput, match="does not begin like one"):
        unpacked({name: content})


ZEROS = bytes(1 << 20)
BOMBS = {
    "zip": lambda: zipped({"a.csv": ZEROS * 8}),
    "gz": lambda: gzip.compress(ZEROS * 8),
    "bz2": lambda: bz2.compress(ZEROS * 8),
    "xz": lambda: lzma.compress(ZEROS * 8),
    "zst": lambda: zstandard.compress(ZEROS * 8),
    "tar.gz": lambda: gzip.compress(tarred({"a.csv": ZEROS * 8})),
    "tar.gz, hidden": lambda: gzip.compress(tarred({".a.csv": ZEROS * 8, "b.csv": ROWS})),
    "tar.gz, behind its end": lambda: gzip.compress(tarred({"a.csv": ROWS}) + ZEROS * 8),
    "zip in zip": lambda: zipped({"a.zip": zipped({"a.csv": ZEROS * 8})}),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_by_its_ratio(unpacked: Unpack, kind: str) -> None:
    with pytest.raises(InvalidInput, match="more than 200 times its size"):
        unpacked({"set": BOMBS[kind]()}, UnpackLimits(free_bytes=1 << 20))


@pytest.mark.parametrize("kind", BOMBS)
def test_what_is_too_large_is_refused_whatever_its_header_says(unpacked: Unpack, kind: str) -> None:
    limits = UnpackLimits(max_bytes=1 << 20, max_ratio=1 << 30)
    with pytest.raises(InvalidInput, match="TIDEMILL_INGEST_MAX_BYTES"):
        unpacked({"set": BOMBS[kind]()}, limits)


def test_links_count_as_the_copies_that_they_become(unpacked: Unpack) -> None:
    links = (tar_entry(f"{number}.csv", tarfile.LNKTYPE, "a.csv") for number in range(50))
    packed = joined(tar_entry("a.csv", content=b"x" * (1 << 20)), *links)
    with pytest.raises(InvalidInput, match="TIDEMILL_INGEST_MAX_BYTES"):
        unpacked({"set": packed}, UnpackLimits(max_bytes=10 << 20))


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_too_many_members_are_refused(unpacked: Unpack, pack: Callable[..., bytes]) -> None:
    for members in ({f"{number}.csv": b"" for number in range(11)}, {f".{number}": b"" for number in range(11)}):
        with pytest.raises(InvalidInput, match="more than 10 files"):
            unpacked({"set": pack(members)}, UnpackLimits(max_files=10))


@pytest.mark.parametrize("kind", ["xz", "zst", "gz", "bz2"])
def test_memory_does_not_grow_with_what_comes_out(tmp_path: Path, kind: str) -> None:
    compress = {"xz": lzma.compress, "zst": zstandard.compress, "gz": gzip.compress, "bz2": bz2.compress}[kind]
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / f"a.csv.{kind}").write_bytes(compress(bytes(48 << 20)))
    tracemalloc.start()
    unpack(tmp_path / "source", tmp_path / "into", UnpackLimits(max_ratio=1 << 30), SilentReport())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "into" / "a.csv").stat().st_size == 48 << 20
    assert peak < 36 << 20


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["a.zip", "a.tar.gz", "a.tar", "a.csv.zst", "a.xz", "a.bz2", "a"]),
    start=st.sampled_from(
        [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"BZh91AY&SY", b"\xfd7zXZ\0"]
    ),
    rest=st.binary(max_size=200),
)
def test_any_bytes_are_refused_or_stay_inside(unpacked: Unpack, name: str, start: bytes, rest: bytes) -> None:
    try:
        unpacked({name: start + rest})
    except InvalidInput:
        return


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["zip", "tar", "tar.gz", "tar.zst"]),
    changes=st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 2_000),
)
def test_a_damaged_archive_is_refused_or_its_files_stay_inside(
    unpacked: Unpack, kind: str, changes: list[tuple[int, int]], cut: int
) -> None:
    members = {"训练/a.csv": ROWS, "b.csv": ROWS * 3, "c/d.csv": ROWS}
    good = zipped(members) if kind == "zip" else tarred(members)
    packed = bytearray(
        gzip.compress(good) if kind == "tar.gz" else zstandard.compress(good) if kind == "tar.zst" else good
    )
    for at, byte in changes:
        packed[at % len(packed)] = byte
    del packed[len(packed) - cut % 50 :]
    try:
        unpacked({f"a.{kind}": bytes(packed)})
    except InvalidInput:
        return

"""What was made, or happened, to break a reader of media is an error with words or a bad row, and nothing else."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.media import open_media
from services.ingest.media.checks import Media, Unusable, check_image, check_recording
from services.ingest.tables import Limits
from tests.ingest.media.conftest import image, sound
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of_size(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def gif_of_size(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + image("GIF")[10:]


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


JPEG, PNG, GIF, WAV = image(size=(200, 150)), image("PNG"), image("GIF"), sound()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"hello, this is no picture", "is no image that can be read: it begins with b'hello, this '"),
        (b"<svg></svg>", "is no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (JPEG[:20], "image"),
        (PNG[: len(PNG) // 2], "image"),
        (PNG[:-20], "damaged image"),
        (flipped(PNG, len(PNG) // 2), "damaged image"),
        (GIF[: len(GIF) // 2], "damaged image"),
        (image("TIFF")[:200], "image"),
        (image("WEBP")[:300], "image"),
        (gif_of_size(65535, 65535), "too large"),
        (png_of_size(20_000, 20_000), "too large"),
        (png_of_size(9_500, 9_500), "too large"),
        (png_of_size(0, 9), "image"),
        (png_of_size(900, 900), "damaged image"),
        (WAV, "is no image"),
    ],
)
def test_a_broken_image_is_a_bad_row(folder, read, content: bytes, says: str) -> None:
    result = read(folder({"a/broken.png": content, "b/good.png": PNG, "b/too.jpg": JPEG}))
    assert [row["path"] for row in result.all] == ["b/good.png", "b/too.jpg"]
    ((name, row, reason),) = result.bad.found
    assert (name, row) == ("dataset", 1)
    assert reason.startswith("a/broken.png ")
    assert says in reason


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"hello", "is no recording"),
        (PNG, "is no recording"),
        (WAV[: len(WAV) // 2], "breaks off after"),
        (WAV[:44], "breaks off after"),
        (WAV[:20], "breaks off after"),
        (sound(samples=0), "without a sample"),
        (sound("FLAC")[:-50], "is no recording"),
        (sound("OGG")[:2_000], "is no recording"),
        (sound("OGG", 40_000)[:-20], "without a sample"),
        (sound("MP3", 40_000)[:1_500], "breaks off after"),
        (WAV.replace(struct.pack("<I", 8000), struct.pack("<I", 0)), "is no recording"),
    ],
)
def test_a_broken_recording_is_a_bad_row(folder, read, content: bytes, says: str) -> None:
    result = read(folder({"a/broken.wav": content, "b/good.wav": WAV}))
    assert [row["path"] for row in result.all] == ["b/good.wav"]
    (reason,) = result.bad.reasons
    assert reason.startswith("a/broken.wav ")
    assert says in reason


def test_a_wav_file_that_was_streamed_does_not_know_its_length(read, folder) -> None:
    streamed = WAV[:4] + b"\xff\xff\xff\xff" + WAV[8:40] + b"\xff\xff\xff\xff" + WAV[44:]
    assert read(folder({"a/x.wav": streamed, "b/x.wav": WAV})).all[0]["seconds"] == 0.5


def test_links_are_not_followed(folder, read, tmp_path: Path) -> None:
    top = folder({"a/1.png": PNG, "b/1.png": PNG})
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "2.png").write_bytes(PNG)
    (top / "a" / "link.png").symlink_to(secret / "2.png")
    (top / "b" / "folder").symlink_to(secret, target_is_directory=True)
    (top / "loop").symlink_to(top, target_is_directory=True)
    (top / "a" / "gone.png").symlink_to(tmp_path / "nowhere")
    result = read(top)
    assert [row["path"] for row in result.all] == ["a/1.png", "b/1.png"]
    assert result.bad.reasons == [
        f"{name} is a symbolic link, which is not followed; put the file itself there"
        for name in ("a/gone.png", "a/link.png", "b/folder", "loop")
    ]


def test_a_pipe_is_not_waited_for(folder, read) -> None:
    top = folder({"a/1.png": PNG, "b/1.png": PNG})
    os.mkfifo(top / "a" / "2.png")
    assert read(top).bad.reasons == ["a/2.png is no regular file; remove it"]


def test_a_name_that_is_not_utf8_is_a_bad_row(folder, read) -> None:
    top = folder({"a/1.png": PNG, "b/1.png": PNG})
    (Path(os.fsdecode(os.fsencode(top / "a") + b"/\xb9\xb7.png"))).write_bytes(PNG)
    result = read(top)
    assert len(result.all) == 2
    assert result.bad.reasons == ["a/\\xb9\\xb7.png has a name that is not UTF-8; rename it"]


def test_images_of_other_formats_are_bad_rows(folder, read) -> None:
    result = read(folder({"a/1.png": PNG, "b/1.png": PNG, "b/2.HEIC": b"x", "b/notes.txt": b"x"}))
    assert result.bad.reasons[0].startswith("b/2.HEIC is a HEIC file; read are bmp, gif, jpe, jpeg, jpg")
    assert len(result.bad.found) == 1


def test_a_file_beside_the_folders_of_classes_is_a_bad_row(folder, read) -> None:
    result = read(folder({"a/1.png": PNG, "b/1.png": PNG, "c.png": PNG}))
    assert result.bad.reasons == ["c.png lies in no folder of a class; move it into the folder of its label"]


@pytest.mark.parametrize(
    ("files", "data", "says"),
    [
        ({}, {}, "holds no image"),
        ({"a/x.txt": b"x"}, {}, "holds no image"),
        ({"train/1.png": PNG, "val/1.png": PNG}, {}, r'both train and test.*train: "train/\*"'),
        ({"train/1.png": PNG, "test/1.png": PNG, "extra/1.png": PNG}, {}, "extra/1.png lies beside the folders"),
        ({"val/1.png": PNG, "valid/1.png": PNG, "test/1.png": PNG}, {}, "val and valid are named after the same part"),
        ({"1.png": PNG}, {"files": {"data": "2*"}}, r"no image fits '2\*' \(data\)"),
        ({"1.png": PNG}, {"files": {"train": "*", "test": "1*"}}, "puts 1.png into train and test"),
        ({"train/1.png": PNG, "test/1.png": PNG, "train/x.csv": b"f,label\n1.png,a\n"}, {}, "test: none"),
    ],
)
def test_a_folder_that_is_no_dataset_is_refused(folder, read, files: dict[str, bytes], data: dict, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read(folder(files), "image-folder", **data)


def test_a_format_that_is_no_folder_of_media_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="csv is no format of media folders"):
        open_media(tmp_path, "csv", Data(), Limits(1000))


def test_several_voc_trees_are_refused(folder, read) -> None:
    files = {f"{year}/{part}/1.{suffix}": PNG for year in ("a", "b") for part, suffix in (("Annotations", "xml"),)}
    with pytest.raises(InvalidInput, match=r"several VOC trees \(a, b\)"):
        read(folder(files), "voc")


def test_annotations_are_said_for_tables_alone(folder, read) -> None:
    with pytest.raises(InvalidInput, match="VOC has one XML file per image"):
        read(folder({"1.png": PNG}), "voc", annotations="x.csv")
    with pytest.raises(InvalidInput, match=r"x.json' is JSON; set data.format: coco"):
        read(folder({"x.json": b"{}"}), "image-folder", annotations="x.json")


def damaged(content: bytes, draw: st.DataObject) -> bytes:
    broken = bytearray(content)
    for _ in range(draw.draw(st.integers(1, 4))):
        broken[draw.draw(st.integers(0, len(broken) - 1))] = draw.draw(st.integers(0, 255))
    return bytes(broken[: draw.draw(st.integers(1, len(broken)))])


def measures_or_reason(check: Callable[[bytes], Media], content: bytes) -> list[float] | str:
    try:
        return list(check(content).measures.values())
    except Unusable as problem:
        return str(problem)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([JPEG, PNG, GIF, image("TIFF"), image("WEBP")]), st.data())
def test_no_damage_of_an_image_escapes_the_check(content: bytes, draw: st.DataObject) -> None:
    found = measures_or_reason(check_image, damaged(content, draw))
    assert "; " in found if isinstance(found, str) else min(found) > 0


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([WAV, sound("FLAC"), sound("OGG")]), st.data())
def test_no_damage_of_a_recording_escapes_the_check(content: bytes, draw: st.DataObject) -> None:
    found = measures_or_reason(check_recording, damaged(content, draw))
    assert "; " in found if isinstance(found, str) else min(found) > 0

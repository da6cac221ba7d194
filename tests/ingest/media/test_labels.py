"""Where the label of a file comes from: its folder, its path, a table beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.ingest.media import PathPattern, detect_media, open_media
from services.ingest.tables import BATCH_BYTES, Limits
from tests.ingest.media.conftest import Bad, image, sound
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput


def test_the_folder_of_a_file_is_its_label(folder, read) -> None:
    files = {f"images/{label}/{n}.jpg": image(seed=n) for label in ("cat", "狗") for n in range(2)}
    result = read(folder({**files, "README.md": b"pets"}))
    assert result.columns == ["path", "image", "width", "height", "label"]
    assert [(row["path"], row["label"]) for row in result.rows["data"]] == [
        ("images/cat/0.jpg", "cat"), ("images/cat/1.jpg", "cat"), ("images/狗/0.jpg", "狗"), ("images/狗/1.jpg", "狗"),
    ]  # fmt: skip
    first = result.rows["data"][0]
    assert (first["image"], first["width"], first["height"]) == (files["images/cat/0.jpg"], 40, 30)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_images_of_many_formats_are_kept_as_they_are(folder, read, format: str) -> None:
    content = image(format)
    result = read(folder({f"a/x.{format.lower()}": content, "b/y.png": image("PNG")}))
    assert result.rows["data"][0]["image"] == content
    assert not result.bad.found


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_recordings_of_many_formats_are_kept_with_their_length(folder, read, format: str) -> None:
    content = sound(format)
    row = read(folder({f"yes/x.{format.lower()}": content, "no/y.wav": sound()})).rows["data"][1]
    assert (row["audio"], row["sample_rate"], row["label"]) == (content, 8000, "yes")
    assert row["seconds"] == pytest.approx(0.5, abs=0.1)


def test_folders_named_after_parts_are_parts(folder, read) -> None:
    files = {f"set/{part}/{label}/1.png": image("PNG") for part in ("train", "val", "test") for label in ("a", "b")}
    result = read(folder(files))
    assert list(result.rows) == ["train", "validation", "test"]
    assert [row["label"] for row in result.rows["test"]] == ["a", "b"]


def test_one_class_that_is_called_like_a_part_is_a_class(folder, read) -> None:
    result = read(folder({f"{label}/1.png": image("PNG") for label in ("bus", "car", "train")}))
    assert [row["label"] for row in result.rows["data"]] == ["bus", "car", "train"]


def test_the_recipe_says_which_files_are_which_part(folder, read) -> None:
    files = {f"{label}/{n}.png": image("PNG") for label in ("a", "b") for n in range(4)}
    result = read(folder(files), files={"train": "*/[01].png", "test": "*/3.png"})
    assert {part: len(rows) for part, rows in result.rows.items()} == {"train": 4, "test": 2}
    assert [row["label"] for row in result.rows["test"]] == ["a", "b"]


def test_fields_of_a_pattern_are_columns(real_data: Path, read) -> None:
    result = read(real_data / "fsdd_subset", path_pattern="{label}_{speaker}_{index}.wav")
    assert len(result.all) == 900
    assert not result.bad.found
    assert result.columns == ["path", "audio", "sample_rate", "seconds", "label", "speaker", "index"]
    assert {row["label"] for row in result.all} == set("0123456789")
    assert len({row["speaker"] for row in result.all}) == 6
    assert {row["sample_rate"] for row in result.all} == {8000}
    paths = [row["path"] for row in result.all]
    assert paths == sorted(paths)


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("{label}/{_}", "a/b/cat/1.jpg", {"label": "cat"}),
        ("{label}_{speaker}_{index}.wav", "r/7_jackson_32.wav", {"label": "7", "speaker": "jackson", "index": "32"}),
        ("{label}_{_}.wav", "a_b_c.wav", {"label": "a"}),
        ("{part}/{_}/x-{id}.png", "one/two/x-3.png", {"part": "one", "id": "3"}),
        ("{标签}_{_}", "猫_1.jpg", {"标签": "猫"}),
        ("{label}_{n}.wav", "_1.wav", None),
        ("{label}_{n}.wav", "cat_.wav", None),
        ("{label}_{n}.wav", "cat_1.mp3", None),
        ("{a}/{b}/{_}", "b/x.png", None),
        ("x{label}x", "xx", None),
        ("{a}.{b}", "a..b", {"a": "a", "b": ".b"}),
    ],
)
def test_a_pattern_is_matched_from_the_end_of_a_path(pattern: str, path: str, found: dict[str, str] | None) -> None:
    assert PathPattern(pattern).match(path) == found


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("{_}/x.png", "names no column"),
        ("*.wav", "names no column"),
        ("{a}{b}.wav", "without a text between"),
        ("{a}/{a}", "names a column twice"),
        ("{}/x", "field without a name"),
        ("{a", "brace without its other one"),
        ("{a}//x", "empty name"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(pattern: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        PathPattern(pattern)


def test_a_pattern_that_no_path_matches_is_an_error_and_one_path_a_bad_row(folder, read) -> None:
    top = folder({"a_1.png": image("PNG"), "b.png": image("PNG")})
    assert read(top, path_pattern="{label}_{_}.png").bad.found == [
        ("dataset", 2, "b.png does not match data.path_pattern '{label}_{_}.png'; rename it, or take it away")
    ]
    with pytest.raises(InvalidInput, match=r"no path matches .* the first one is 'a_1.png'"):
        read(top, path_pattern="{label}-{_}.png")
    with pytest.raises(InvalidInput, match="more than one column named 'width'"):
        read(top, path_pattern="{width}_{_}.png")


def test_a_table_that_names_the_files_is_found(folder, read) -> None:
    table = "file_name,breed,width\n2.png,siamese,9\nsub/1.png,猫,8\n"
    result = read(folder({"2.png": image("PNG"), "sub/1.png": image("PNG"), "labels.csv": table.encode()}))
    assert result.columns == ["path", "image", "width", "height", "breed", "width_annotated"]
    assert [(row["path"], row["breed"], row["width_annotated"]) for row in result.all] == [
        ("2.png", "siamese", "9"), ("sub/1.png", "猫", "8"),
    ]  # fmt: skip


def test_a_table_may_leave_out_suffixes_and_lie_beside_parts(folder, read) -> None:
    files = {f"{part}/{part}{n}.wav": sound() for part in ("train", "test") for n in range(2)}
    table = "id,label\n" + "".join(f"{part}{n},{n}\n" for part in ("test", "train") for n in range(2))
    result = read(folder({**files, "all.csv": table.encode()}))
    assert [row["label"] for row in result.rows["train"] + result.rows["test"]] == ["0", "1", "0", "1"]
    assert not result.bad.found


def test_a_table_and_its_files_have_to_fit(folder, read) -> None:
    table = "file,label\na/1.png,x\n1.png,y\n2.png,x\ngone.png,y\n3.png,x\n3.png,y\n"
    names = ("a/1.png", "b/1.png", "a/2.png", "b/2.png", "3.png", "4.png")
    result = read(folder({**{name: image("PNG") for name in names}, "labels.csv": table.encode()}))
    assert [(row["path"], row["label"]) for row in result.all] == [("a/1.png", "x"), ("b/1.png", "y")]
    assert [(name, row) for name, row, _ in result.bad.found] == [
        ("labels.csv", 4), ("dataset", 1), ("dataset", 2), ("dataset", 4), ("dataset", 6),
    ]  # fmt: skip
    said = "\n".join(result.bad.reasons)
    for part in (
        "labels.csv, row 4, column 'file': there is no file 'gone.png'",
        "3.png is named by more than one row of labels.csv (5, 6)",
        "4.png is named by no row of labels.csv",
        "a/2.png is not the only file that row 3 of labels.csv could mean",
    ):
        assert part in said


def test_which_of_two_tables_is_meant_has_to_be_said(folder, read) -> None:
    table = b"file,label\n1.png,x\n"
    top = folder({"1.png": image("PNG"), "one.csv": table, "two.csv": table.replace(b"x", b"y")})
    with pytest.raises(InvalidInput, match=r"several tables name the files \(one.csv, two.csv\)"):
        read(top)
    assert read(top, annotations="two.csv").all[0]["label"] == "y"
    for named, says in (
        ("three.csv", "no CSV or TSV file"),
        ("../dataset/../x.csv", "lies outside"),
        ("1.png", "1.png"),
    ):
        with pytest.raises(InvalidInput, match=says):
            read(top, annotations=named)


def test_batches_are_bounded_and_follow_each_other(folder) -> None:
    big = image("BMP", (1000, 800))
    top = folder({f"{label}/{n:02}.bmp": big for label in ("a", "b") for n in range(6)})
    (table,) = open_media(top, "image-folder", Data(), Limits(1_000_000))["data"]
    for _ in range(2):
        batches = list(table.batches(Bad()))
        assert len(batches) > 3
        assert all(batch.rows.nbytes < BATCH_BYTES + len(big) for batch in batches)
        fractions = [batch.fraction for batch in batches]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        assert sum(batch.rows.num_rows for batch in batches) == 12


def test_the_order_is_that_of_the_paths_name_by_name(folder, read) -> None:
    names = ["b/1.png", "a-b/1.png", "a/2.png", "a/10.png", "B/1.png", "é/1.png", "猫/1.png"]
    paths = [row["path"] for row in read(folder({name: image("PNG") for name in names})).all]
    assert paths == sorted(names, key=lambda name: [part.encode() for part in name.split("/")])


@pytest.mark.parametrize(
    ("files", "format"),
    [
        ({"a.csv": b"x,y\n1,2\n", "logo.png": image("PNG")}, None),
        ({"a.csv": b"x,y\n1,2\n", "docs/one.png": image("PNG"), "docs/two.png": image("PNG")}, None),
        ({"notes.txt": b"none"}, None),
        ({}, None),
        ({"a.wav": sound(), "a.png": image("PNG")}, None),
        ({"1.png": image("PNG"), "meta.csv": b"file,label\n1.png,x\n"}, "image-folder"),
        ({"a/1.png": image("PNG"), "b/2.png": image("PNG"), "classes.json": b"[]"}, "image-folder"),
        ({"a/1.wav": sound(), "a/2.wav": sound(), "a/wave.png": image("PNG")}, "audio-folder"),
    ],
)
def test_what_a_folder_holds(folder, files: dict[str, bytes], format: str | None) -> None:
    assert detect_media(folder(files)) == format


def test_real_folders_of_tables_hold_no_media(real_data: Path) -> None:
    found = {path.name: detect_media(path) for path in sorted(real_data.iterdir()) if path.is_dir()}
    assert {name: format for name, format in found.items() if format} == {"bccd": "voc", "fsdd_subset": "audio-folder"}


def test_thousands_of_labels_are_read(folder, read) -> None:
    content = image("PNG", (1, 1))
    top = folder({f"class-{n:05}/x.png": content for n in range(2_500)})
    assert len({row["label"] for row in read(top).all}) == 2_500


def test_files_in_one_folder_alone_have_no_label(folder, read) -> None:
    assert read(folder({f"all/{n}.png": image("PNG") for n in range(3)})).columns == [
        "path",
        "image",
        "width",
        "height",
    ]


def test_hidden_files_and_what_systems_leave_behind_are_no_examples(folder, read) -> None:
    files = {"a/1.png": image("PNG"), "b/1.png": image("PNG"), "a/.x.png": b"", "__MACOSX/a/._1.png": b"x"}
    result = read(folder({**files, "b/Thumbs.db": os.urandom(9)}))
    assert len(result.all) == 2
    assert not result.bad.found

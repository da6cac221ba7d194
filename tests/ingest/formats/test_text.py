"""Plain text: lines and paragraphs of a file, and folders with one example in a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.ingest.reading import read_folder
from tidemill.errors import InvalidInput


def test_lines_are_rows_and_blank_ones_none(read_files) -> None:
    read = read_files({"x.txt": "one\r\n\r\n你好\n\n  \nthree, and a comma".encode()}, {"format": "lines"})
    assert read.rows() == [{"text": "one"}, {"text": "你好"}, {"text": "three, and a comma"}]


def test_paragraphs_are_rows_where_there_are_some(read_files) -> None:
    read = read_files({"x.txt": b"A:\none\ntwo\n\n\nB:\nthree\n"}, {"format": "lines", "columns": ["speech"]})
    assert read.rows() == [{"speech": "A:\none\ntwo"}, {"speech": "B:\nthree"}]


def test_prose_is_no_table(read_files) -> None:
    prose = b"Once, upon a time, there was.\nNobody knows.\n\nThe end, it is said.\nTruly.\n"
    read = read_files({"story.txt": prose})
    assert read.table.writing.format == "lines"
    assert len(read.rows()) == 2


def test_lines_that_are_bad_cost_themselves(read_files) -> None:
    content = b"good\n" * 5 + b"caf\xe9\n" + b"y" * 3000 + b"\n" + b"y" * 100_000 + b"\ngood\n"
    read = read_files({"x.txt": content}, {"format": "lines"}, max_cell=2000, tolerant=True)
    assert [bad.row for bad in read.bad] == [6, 7, 8]
    assert "line 6: the byte 0xE9 is not valid utf-8" in read.bad[0].reason
    assert "line 7, column 'text': a value of 3,000 characters" in read.bad[1].reason
    assert len(read.rows()) == 6


def test_tinyshakespeare_is_read_by_speeches(real_data: Path) -> None:
    read = read_folder(real_data / "tinyshakespeare", {"format": "lines"})
    raw = (real_data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    assert [row["text"] for row in read.rows()] == re.split(r"\n{2,}", raw.strip("\n"))


FOLDER = {f"{label}/{number}.txt": f"{label} text {number}".encode() for label in ("neg", "pos") for number in range(3)}


def test_the_folder_is_the_label(read_files) -> None:
    read = read_files({"set/" + name: content for name, content in FOLDER.items()} | {"set/README.txt": b"about"})
    assert read.rows()[0] == {"text": "neg text 0", "label": "neg"}
    assert [row["label"] for row in read.rows()] == ["neg"] * 3 + ["pos"] * 3
    assert read.table.writing.format == "text-folder"


def test_folders_above_the_labels_are_parts(read_files) -> None:
    files = {f"{part}/{name}": content for part in ("train", "test") for name, content in FOLDER.items()}
    read = read_files(files | {"train/urls.txt": b"not an example"})
    assert read.parts == {"train": 6, "test": 6}


def test_files_of_newsgroups_need_no_suffix(read_files) -> None:
    files = {f"20news-bydate-{part}/{label}/{number}": b"From: x\n\ntext" for part in ("train", "test")
             for label in ("alt.atheism", "sci.space") for number in range(50_000, 50_003)}  # fmt: skip
    read = read_files(files)
    assert read.parts == {"train": 6, "test": 6}
    assert {row["label"] for row in read.rows("test")} == {"alt.atheism", "sci.space"}


def test_a_pattern_names_more_columns_than_the_label(read_files) -> None:
    pytest.importorskip("services.ingest.media.pattern")
    files = {"pos/ann_1.txt": b"good", "neg/bob_2.txt": b"bad", "neg/odd.txt": b"?"}
    data = {"format": "text-folder", "path_pattern": "{label}/{author}_{_}"}
    read = read_files(files, data, tolerant=True)
    assert read.rows()[0] == {"text": "bad", "label": "neg", "author": "bob"}
    assert [(bad.row, bad.reason.partition(":")[0]) for bad in read.bad] == [(2, "neg/odd.txt")]


def test_a_file_that_cannot_be_read_costs_itself(read_files) -> None:
    files = FOLDER | {"neg/bad.txt": b"caf\xe9", "pos/binary.txt": bytes(100), "pos/long.txt": b"y" * 3000}
    read = read_files(files | {"neg/wide.txt": "你好\n".encode("utf-16")}, max_cell=2000, tolerant=True)
    assert [bad.reason.partition(":")[0] for bad in read.bad] == ["neg/bad.txt", "pos/binary.txt", "pos/long.txt"]
    assert "你好\n" in [row["text"] for row in read.rows()]
    assert len(read.rows()) == 7


def test_short_files_are_judged_together(read_files) -> None:
    texts = ["很好用", "质量不好", "物流快", "太差了"]
    files = {f"{label}/{number}.txt": text.encode("gbk") for label in ("a", "b") for number, text in enumerate(texts)}
    assert [row["text"] for row in read_files(files).rows()] == texts * 2


def test_a_folder_without_examples_says_what_is_expected(read_files) -> None:
    with pytest.raises(InvalidInput, match=r"expected label/example\.txt"):
        read_files({"x.csv": b"a,b\n1,2\n"}, {"format": "text-folder"})

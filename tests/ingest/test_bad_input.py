"""Bad input gets an error that names the file, the line, the column and what to do."""

from __future__ import annotations

import json
import os
import random

import pytest

from tidemill.errors import InvalidInput

GOOD = b"text,label\ngood,yes\nbad,no\nfine,yes\npoor,no\n"


def refused(ingest_files, files, data=None, **spec) -> str:
    with pytest.raises(InvalidInput) as error:
        ingest_files(files, data, **spec)
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "data", "says"),
    [
        (b"", {}, ["reviews.csv is empty"]),
        (b" \n\n", {}, ["reviews.csv is empty"]),
        (b"text,label\n", {}, ["reviews.csv", "text, label", "no rows"]),
        (b"PK\x03\x04" + bytes(100), {}, ["archive reviews.csv is damaged"]),
        (random.Random(1).randbytes(5000), {}, ["reviews.csv is a binary file"]),
        (b"<!DOCTYPE html><html></html>", {}, ["reviews.csv is an HTML page"]),
        (
            GOOD + b"caf\xe9 \xff,no\n",
            {},
            ["line 6, column 'text': the byte 0xE9 is not valid utf-8", "data: {encoding"],
        ),
        (
            GOOD + "好".encode() * 20 + b"\xe5\xa5,no\n",
            {},
            ["line 6, column 'text': the byte 0xE5 is not valid utf-8"],
        ),
        (GOOD, {"encoding": "klingon"}, ["data.encoding: 'klingon'", "gb18030"]),
        (
            "text,label\n好,yes\n坏,no\n".encode(),
            {"encoding": "ascii"},
            ["line 2, column 'text': the byte 0xE5 is not valid ascii"],
        ),
        (GOOD + b"one,two,three\n", {}, ["reviews.csv, line 6: 3 fields, but 2 are expected (text, label)", "quotes"]),
        (GOOD.replace(b"bad,no", b"bad"), {}, ["reviews.csv, line 3: 1 field, but 2 are expected"]),
        (b'text,label\n"a\nb",yes\n"c""d",no\n"e"f,no\n', {}, ["reviews.csv, line 5: a quoted field goes on"]),
        (b'text,label\na,"x, y"\n"b, c",no\n"d, no\n', {}, ["reviews.csv, line 4: a field begins with a double quote"]),
        (GOOD, {"label": "lable"}, ["reviews.csv has no column 'lable'", "'text', 'label'", "did you mean 'label'?"]),
        (GOOD, {"text": "body"}, ["reviews.csv has no column 'body' (data.text)"]),
        (GOOD, {"columns": ["a", "b", "c"]}, ["line 1: 2 fields separated by a comma", "data.columns names 3"]),
        (b"text,label\na,x\nb,x\nc,x\n", {}, ["column 'label': every row has the label 'x'", "two classes"]),
        (b"text,text\na,x\nb,y\n", {"header": True}, ["more than one column named 'text'"]),
        (b"words\nno delimiter\nhere at all\n", {}, ["reviews.csv has one column", "text classification"]),
    ],
)
def test_a_bad_csv_is_refused(ingest_files, content: bytes, data: dict, says: list[str]) -> None:
    message = refused(ingest_files, {"reviews.csv": content}, data)
    for part in says:
        assert part in message


def test_twenty_megabytes_in_one_cell_are_refused(ingest_files) -> None:
    content = GOOD + b"x" * 20_000_000 + b",no\n"
    assert "reviews.csv, line 6: longer than 16,000,000 characters" in refused(ingest_files, {"reviews.csv": content})
    content = GOOD + b'"' + b"x\n" * 1_000_000 + b'",no\n'
    assert "reviews.csv, line 6" in refused(ingest_files, {"reviews.csv": content}, max_cell=100_000)


def test_a_long_cell_is_named_with_its_column(ingest_files) -> None:
    content = GOOD + b"x" * 2_000_000 + b",no\n"
    message = refused(ingest_files, {"reviews.csv": content})
    assert "reviews.csv, line 6, column 'text': a value of 2,000,000 characters; at most 1,000,000" in message
    line = json.dumps({"text": "y" * 3000, "label": "no"}).encode()
    message = refused(ingest_files, {"r.jsonl": b'{"text": "a", "label": "b"}\n' + line}, max_cell=2000)
    assert "r.jsonl, line 2, column 'text': a value of 3,000 characters" in message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": "a", "label"}', "line 3, character 22: not valid JSON"),
        ('["a", "b"]', "line 3: a list where one JSON object is expected"),
        ("3", "line 3: a number where one JSON object"),
    ],
)
def test_a_bad_json_line_is_named(ingest_files, line: str, says: str) -> None:
    document = '{"text": "a", "label": "x"}\n\n' + line + "\n"
    assert says in refused(ingest_files, {"rows.jsonl": document.encode()})


def test_what_is_named_parquet_has_to_be_parquet(ingest_files) -> None:
    assert "rows.parquet is not a Parquet file" in refused(ingest_files, {"rows.parquet": GOOD})
    damaged = b"PAR1" + os.urandom(200) + b"PAR1"
    assert "rows.parquet is not a readable Parquet file" in refused(ingest_files, {"rows.parquet": damaged})


def test_parts_have_to_agree_in_their_columns(ingest_files) -> None:
    other = GOOD.replace(b"label", b"verdict")
    message = refused(ingest_files, {"train.csv": GOOD, "test.csv": other})
    assert "test.csv has the columns text, verdict, but train.csv has text, label" in message


def test_several_candidates_are_listed_with_the_lines_to_write(ingest_files) -> None:
    rows = "".join(f"a fine text number {n},another fine text {n},{n % 2},{n % 3}\n" for n in range(12))
    message = refused(ingest_files, {"x.csv": f"summary,story,kind,mood\n{rows}".encode()})
    assert "several columns could be the label ('kind', 'mood')" in message
    assert "data: {text: <column>, label: <column>}" in message
    message = refused(ingest_files, {"x.csv": f"summary,story,kind,mood\n{rows}".encode()}, {"label": "kind"})
    assert "several columns could be the text ('summary', 'story')" in message


def test_a_folder_that_is_no_dataset_says_why(ingest_files) -> None:
    other = GOOD.replace(b"label", b"verdict")
    message = refused(ingest_files, {"a.csv": GOOD, "b.csv": other})
    assert "2 files that could be the dataset (a.csv, b.csv)" in message
    assert "b.csv has the columns text, verdict, but a.csv has text, label" in message
    assert "of different formats" in refused(ingest_files, {"a.csv": GOOD, "a.tsv": GOOD.replace(b",", b"\t")})
    message = refused(ingest_files, {"train.csv": GOOD, "train.tsv": GOOD, "test.csv": GOOD})
    assert "both train.csv and train.tsv" in message

"""Which files of a folder are which part, and how tables of several files become one dataset."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ingest.reading import read_folder
from tidemill.errors import InvalidInput

A, B, C = b"text,label\na,x\nb,y\n", b"label,text\nx,c\n", b"text,label\nd,x\ne,y\nf,y\n"


def refused(read_files, files, data=None) -> str:
    with pytest.raises(InvalidInput) as error:
        read_files(files, data)
    return str(error.value)


def parquet(**columns: pa.Array) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def test_files_with_the_same_columns_are_one_table_in_the_order_of_their_names(read_files) -> None:
    read = read_files({"2024-02.csv": B, "2024-01.csv": A, "sub/2023-12.csv": C, "README.md": b"# notes"})
    assert [row["text"] for row in read.rows()] == ["a", "b", "c", "d", "e", "f"]
    assert [table.path.name for table in read.tables["data"]] == ["2024-01.csv", "2024-02.csv", "2023-12.csv"]
    assert read.rows()[2] == {"text": "c", "label": "x"}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.csv", "test.csv"),
        ("adult-train.csv", "adult-test.csv"),
        ("set/train/part-1.csv", "set/test/part-1.csv"),
        ("data/Train_set.csv", "data/Testing.csv"),
        ("train-00000-of-00001.csv", "test-00000-of-00001.csv"),
    ],
)
def test_names_of_files_and_folders_say_the_parts(read_files, train: str, test: str) -> None:
    read = read_files({test: C, train: A, "notes/categories.json": b"[1]", "sample.json": b"{}"})
    assert read.parts == {"train": 2, "test": 3}


def test_a_part_of_several_files_is_read_in_the_order_of_their_names(read_files) -> None:
    read = read_files({"train/part-2.csv": C, "train/part-1.csv": A, "test/part-1.csv": B})
    assert [row["text"] for row in read.rows("train")] == ["a", "b", "d", "e", "f"]


def test_the_recipe_names_files_by_pattern(read_files) -> None:
    files = {"one.csv": A, "deep/two.csv": B, "deep/three.csv": C, "other.json": b"[]"}
    read = read_files(files, {"files": {"train": "deep/*.csv", "test": "one.csv"}})
    assert read.parts == {"train": 4, "test": 2}
    read = read_files(files, {"files": {"data": "t*.csv"}})
    assert [row["text"] for row in read.rows()] == ["d", "e", "f", "c"]


def test_what_the_recipe_names_has_to_be_there_once(read_files) -> None:
    message = refused(read_files, {"a.csv": A}, {"files": {"data": "b.csv"}})
    assert "data.files.data: no file matches 'b.csv'; there are a.csv" in message
    message = refused(read_files, {"a.csv": A}, {"files": {"train": "*.csv", "test": "a.csv"}})
    assert "a.csv matches data.files.train and data.files.test" in message


def test_a_file_of_parts_is_named_alone(read_files) -> None:
    document = b'{"train": [{"a": 1}], "test": [{"a": 2}]}'
    assert read_files({"x.json": document, "y.csv": A}, {"files": {"data": "x.json"}}).parts == {"train": 1, "test": 1}
    message = refused(read_files, {"x.json": document, "y.json": document})
    assert "x.json holds the parts train, test itself" in message


def test_files_that_differ_are_listed_with_their_columns(read_files) -> None:
    message = refused(read_files, {"a.csv": A, "b.csv": b"p,q\n1,2\n3,4\n"})
    assert "folder of the dataset holds 2 files that could be the dataset (a.csv, b.csv)" in message
    assert 'data: {files: {data: "*.csv"}}' in message
    message = refused(read_files, {"a.csv": A, "b.csv": b"%PDF"})
    assert "they are not all readable (b.csv is a PDF document" in message
    assert "holds both train.csv and train.tsv" in refused(read_files, {"train.csv": A, "train.tsv": A, "test.csv": A})
    assert "holds no data file" in refused(read_files, {".hidden.csv": A, "__MACOSX/x.csv": A})


def test_types_that_differ_become_one_that_holds_them(read_files) -> None:
    one = parquet(n=pa.array([1, 2]), t=pa.array([1.5, 2.5]), empty=pa.nulls(2), s=pa.array(["a", "b"]))
    two = parquet(n=pa.array([0.5]), t=pa.array(["x"]), empty=pa.array([7]), s=pa.array(["c"]).dictionary_encode())
    read = read_files({"1.parquet": one, "2.parquet": two})
    assert read.rows() == [
        {"n": 1.0, "t": "1.5", "empty": None, "s": "a"},
        {"n": 2.0, "t": "2.5", "empty": None, "s": "b"},
        {"n": 0.5, "t": "x", "empty": 7, "s": "c"},
    ]
    assert read.table.kinds == {"n": "number", "empty": "integer"}
    message = refused(read_files, {"1.parquet": one, "2.parquet": parquet(n=[[1]], t=[1.0], empty=[1], s=["a"])})
    assert "column 'n' is int64 in 1.parquet, but list<" in message


def test_the_format_that_the_recipe_says_chooses_among_files(read_files) -> None:
    read = read_files({"x.json": b'[{"a": 1}]', "x.txt": b"one\ntwo\n"}, {"format": "lines"})
    assert read.rows() == [{"text": "one"}, {"text": "two"}]
    message = refused(read_files, {"x.parquet": parquet(a=[1])}, {"format": "csv"})
    assert "x.parquet is a Parquet file; remove data.format: csv from the recipe" in message


@pytest.mark.parametrize(
    ("folder", "data", "parts"),
    [
        ("banking77", {}, {"train": 10003, "test": 3080}),
        ("sms_spam", {}, {"data": 5574}),
        ("tatoeba_cmn_eng", {"columns": ["source", "target"]}, {"data": 32028}),
        ("tabular_german_credit", {}, {"data": 1000}),
        ("tabular_adult_income", {}, {"train": 32561, "test": 16281}),
        ("dirty_horse_colic", {}, {"data": 300}),
        ("dirty_auto_imports", {}, {"data": 201}),
        ("pii_presidio_synth", {"files": {"data": "generated_*.json"}}, {"data": 2209}),
    ],
)
def test_published_tables_are_opened_with_little_said(real_data: Path, folder: str, data, parts) -> None:
    read = read_folder(real_data / folder, data)
    assert read.parts == parts
    assert not read.bad


def test_column_names_behind_a_file_without_any_are_not_taken_as_a_row(read_files) -> None:
    rows = b"".join(b"row %d,%d\n" % (number, number) for number in range(20))
    said = refused(read_files, {"a.csv": rows, "b.csv": b"text,label\n" + rows})
    assert "b.csv begins with what looks like column names (text, label)" in said
    assert len(read_files({"a.csv": rows, "b.csv": b"text,label\n" + rows}, {"header": False}).rows()) == 41

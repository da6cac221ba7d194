"""Which files of a folder are the dataset, told from their names."""

from __future__ import annotations

import pytest

from tests.ingest.reading import read_files
from tidemill.errors import InvalidInput

__all__ = ["read_files"]

TABLE = b"text,label\ngood,pos\nbad,neg\n"


def test_a_label_may_begin_with_an_underscore(read_files) -> None:
    files = {f"{label}/{number}.txt": b"text" for label in ("_neg", "pos") for number in range(4)}
    assert {row["label"] for row in read_files(files).rows()} == {"_neg", "pos"}


def test_what_engines_leave_beside_their_tables_is_no_data(read_files) -> None:
    read = read_files({"part-0.csv": TABLE, "_SUCCESS": b"", "_delta_log/0.json": b"{}", ".part-0.csv.crc": b"x"})
    assert len(read.rows()) == 2


@pytest.mark.parametrize("name", ["_data.csv", "authors.csv", "index.csv", "notice.parquet.csv"])
def test_a_table_alone_is_the_dataset_whatever_its_name(read_files, name: str) -> None:
    assert len(read_files({name: TABLE, "README.md": b"# Notes", "LICENSE": b"MIT"}).rows()) == 2


@pytest.mark.parametrize("names", [("latest.csv", "contest.csv"), ("trained.csv", "attest.csv")])
def test_words_that_only_contain_the_name_of_a_part_name_none(read_files, names: tuple[str, str]) -> None:
    assert read_files(dict.fromkeys(names, TABLE)).parts == {"data": 4}


@pytest.mark.parametrize("names", [("train.csv", "val.csv"), ("adult-dev.csv", "adult-test.csv")])
def test_parts_without_training_or_test_part_are_not_mixed(read_files, names: tuple[str, str]) -> None:
    with pytest.raises(InvalidInput, match=r"holds the parts .* has both train and test"):
        read_files(dict.fromkeys(names, TABLE))
    assert read_files(dict.fromkeys(names, TABLE), {"files": {"data": "*.csv"}}).parts == {"data": 4}


@pytest.mark.parametrize(
    ("key", "value"), [("path_pattern", "{label}/{_}"), ("annotations", "labels.csv"), ("sheet", "Sheet2")]
)
def test_a_key_that_says_nothing_about_a_table_is_refused(read_files, key: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=rf"data\.{key} is set, but the dataset is no "):
        read_files({"x.csv": TABLE}, {key: value})

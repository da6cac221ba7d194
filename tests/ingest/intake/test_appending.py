"""Rows are added behind those that are there: old shards stay as they are, figures are those of all rows."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.errors import InvalidInput

RECIPE = {"until": "prepared", "task": "tabular-classification"}
LABEL = {"label": "label", "shard_rows": 1000}
PREPARED = {"until": "prepared"}


def table(rows: range, header: str = "size,colour,label") -> bytes:
    lines = [f"{n % 97},{['红', 'green', 'blue'][n % 3]},{'yes' if n % 2 else 'no'}" for n in rows]
    return "\n".join([header, *lines, ""]).encode()


def parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def test_three_appends_are_one_dataset_of_all_rows(ingest_files) -> None:
    whole = ingest_files({"all.csv": table(range(4500))}, LABEL, recipe=RECIPE)
    grown = ingest_files({"first.csv": table(range(1500))}, LABEL, recipe=RECIPE)
    for begin in (1500, 2500, 3500):
        rows = table(range(begin, begin + 1000))
        before = grown.digests
        grown = ingest_files({f"{begin}.csv": rows}, {"shard_rows": 1000}, previous=grown, append=True, recipe=PREPARED)
        kept = {name: digest for name, digest in before.items() if name.endswith(".parquet")}
        assert kept.items() <= grown.digests.items()
    assert grown.rows() == whole.rows()
    assert grown.profile == whole.profile
    assert grown.schema == whole.schema
    assert grown.result.parts == {"data": 4500}
    assert grown.shards() == ["00000.parquet", "00001.parquet", "00002.parquet", "00003.parquet", "00004.parquet"]
    assert (grown.report.rows, grown.report.appended_to) == (1000, 3500)


def test_columns_may_come_in_another_order(ingest_files) -> None:
    first = ingest_files({"a.csv": table(range(10))}, LABEL, recipe=RECIPE)
    grown = ingest_files({"b.csv": b"label,colour,size\nyes,blue,3\n"}, previous=first, append=True, recipe=PREPARED)
    assert grown.rows()[-1] == {"size": "3", "colour": "blue", "label": "yes"}


def test_given_parts_grow_each(ingest_files) -> None:
    first = ingest_files({"train.csv": table(range(20)), "test.csv": table(range(6))}, LABEL, recipe=RECIPE)
    more = {"train.csv": table(range(20, 30)), "test.csv": table(range(6, 8))}
    grown = ingest_files(more, previous=first, append=True, recipe=PREPARED)
    assert grown.result.parts == {"train": 30, "test": 8}
    assert grown.rows("test")[-1] == {"size": "7", "colour": "green", "label": "yes"}
    assert grown.profile.parts["test"].label_counts == {"no": 4, "yes": 4}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"b.csv": table(range(4), "size,farbe,label")},
            ["no column 'colour' and a column 'farbe' that was not there"],
        ),
        ({"b.csv": b"size,label\n1,yes\n"}, ["b.csv cannot be appended: it has no column 'colour'", "without append"]),
        ({"train.csv": table(range(9)), "test.csv": table(range(9))}, ["the part 'train'", "last version has 'data'"]),
    ],
)
def test_what_does_not_fit_is_refused(ingest_files, files: dict[str, bytes], says: list[str]) -> None:
    first = ingest_files({"a.csv": table(range(10))}, LABEL, recipe=RECIPE)
    with pytest.raises(InvalidInput) as error:
        ingest_files(files, previous=first, append=True, recipe=PREPARED)
    for part in says:
        assert part in str(error.value)


def test_a_type_that_gets_wider_is_breaking_here_too(ingest_files) -> None:
    first = ingest_files({"a.csv": table(range(10))}, LABEL, recipe=RECIPE)
    rows = b"size,colour,label\nhuge,blue,yes\n"
    with pytest.raises(InvalidInput, match="column 'size' was integer and is"):
        ingest_files({"b.csv": rows}, previous=first, append=True, recipe=PREPARED)
    grown = ingest_files(
        {"b.csv": rows}, {"expected": {"allow_breaking": True}}, previous=first, append=True, recipe=PREPARED
    )
    assert grown.rows()[-1]["size"] == "huge"
    assert [change.column for change in grown.report.schema_changes] == ["size"]


def test_another_task_is_refused(ingest_files) -> None:
    first = ingest_files({"a.csv": table(range(10))}, LABEL, recipe=RECIPE)
    with pytest.raises(InvalidInput, match="the recipe says task: text-classification, but the dataset's last version"):
        ingest_files(
            {"b.csv": table(range(10, 20))}, previous=first, append=True, recipe={"task": "text-classification"}
        )


def test_types_of_files_are_brought_together_or_refused(ingest_files) -> None:
    first = ingest_files({"a.parquet": parquet(size=[1, 2], label=["a", "b"])}, LABEL, recipe=RECIPE)
    grown = ingest_files({"b.csv": b"size,label\n3,a\n,b\n"}, previous=first, append=True, recipe=PREPARED)
    assert [row["size"] for row in grown.rows()] == [1, 2, 3, None]
    with pytest.raises(InvalidInput, match=r"c.csv, column 'size': text \(string\) cannot become integer \(int64\)"):
        ingest_files({"c.csv": b"size,label\nlarge,a\n3,b\n"}, previous=grown, append=True, recipe=PREPARED)
    text = ingest_files({"a.csv": table(range(10))}, LABEL, recipe=RECIPE)
    more = parquet(size=[5, 6], colour=["blue", "red"], label=["yes", "no"])
    assert ingest_files({"b.parquet": more}, previous=text, append=True, recipe=PREPARED).rows()[-1]["size"] == "6"


def test_drift_is_that_of_the_new_rows(ingest_files) -> None:
    first = ingest_files({"a.csv": table(range(2000))}, LABEL, recipe=RECIPE)
    same = ingest_files({"b.csv": table(range(2000, 3000))}, previous=first, append=True, recipe=PREPARED)
    assert same.report.drift is not None
    assert {one.level for one in same.report.drift.columns} == {"none"}
    rows = "size,colour,label\n" + "500,blue,yes\n" * 300
    moved = ingest_files({"b.csv": rows.encode()}, previous=first, append=True, recipe=PREPARED)
    assert moved.report.drift is not None
    assert {one.column: one.level for one in moved.report.drift.columns} == {
        "size": "large", "colour": "large", "label": "large",
    }  # fmt: skip


def test_a_few_new_rows_of_one_class_are_enough(ingest_files) -> None:
    reviews = [f"review number {n},{'good' if n % 2 else 'bad'}" for n in range(40)]
    first = ingest_files({"a.csv": "\n".join(["text,label", *reviews, ""]).encode()})
    grown = ingest_files({"b.csv": b"text,label\nanother one,good\n"}, previous=first, append=True)
    assert (grown.result.task, grown.profile.label_counts) == ("text-classification", {"bad": 20, "good": 21})


def test_bad_rows_of_an_append_are_judged_alone(ingest_files) -> None:
    data = {**LABEL, "expected": {"columns": {"size": "integer"}}, "on_bad_row": "drop"}
    first = ingest_files({"a.csv": table(range(100))}, data, recipe=RECIPE)
    with pytest.raises(InvalidInput, match="2 of 3 rows are bad"):
        ingest_files(
            {"b.csv": b"size,colour,label\nx,blue,yes\ny,red,no\n1,red,no\n"},
            data,
            previous=first,
            append=True,
            recipe=PREPARED,
        )

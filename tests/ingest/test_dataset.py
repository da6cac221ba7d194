"""The ingested dataset as a whole: shards, schema, profile and report, the same bytes for the same data and recipe."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest import dataset as ingest_dataset
from services.ingest.spec import IngestSpec
from services.ingest.stage import ingest
from services.ingest.tables import Batch, Writing
from tidemill.contracts import parse_recipe
from tidemill.errors import HandedBack, InvalidInput
from tidemill.jobs.report import Inputs, SilentReport

PNG = b"\x89PNG\r\n\x1a\n"
TABLE = {"until": "prepared", "task": "tabular-classification"}
REVIEWS = "\n".join(
    ["text,label", *(f"这是第 {n} 条评论 number {n},{['good', 'bad'][n % 2]}" for n in range(2500)), ""]
).encode()


def parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def test_shards_hold_the_rows_in_their_order(ingest_files) -> None:
    read = ingest_files({"reviews.csv": REVIEWS}, {"shard_rows": 1000})
    assert read.shards() == ["00000.parquet", "00001.parquet", "00002.parquet"]
    assert [row["text"] for row in read.rows()] == [f"这是第 {n} 条评论 number {n}" for n in range(2500)]
    assert (read.result.rows, read.result.parts) == (2500, {"data": 2500})


def test_the_schema_says_what_columns_are_and_mean(ingest_files) -> None:
    schema = ingest_files({"reviews.csv": REVIEWS}).schema
    assert schema.task == "text-classification"
    assert schema.roles == {"text": "text", "label": "label"}
    assert [(column.name, column.kind, column.strings) for column in schema.columns] == [
        ("text", "text", True),
        ("label", "category", True),
    ]


def test_columns_of_typed_files_keep_their_types(ingest_files) -> None:
    files = {
        "t.parquet": parquet(x=[1, 2], y=[1.5, None], z=[True, False], day=[date(2026, 1, 31), None], label=["a", "b"])
    }
    read = ingest_files(files, {"label": "label"}, recipe=TABLE)
    assert [(column.name, column.kind, column.strings) for column in read.schema.columns][:4] == [
        ("x", "integer", False), ("y", "number", False), ("z", "boolean", False), ("day", "date", False),
    ]  # fmt: skip
    assert read.figures("y").missing == 1


def test_nested_columns_go_through_as_they_are(ingest_files) -> None:
    boxes = [[{"label": "cell", "x": 1.0}], []]
    files = {"t.parquet": parquet(x=[1, 2], boxes=boxes, picture=[PNG, None], label=["a", "b"])}
    read = ingest_files(files, {"label": "label"}, recipe=TABLE)
    assert [row["boxes"] for row in read.rows()] == boxes
    assert [row["picture"] for row in read.rows()] == [PNG, None]
    assert (read.figures("boxes").kind, read.figures("picture").missing) == ("nested", 1)


def test_files_of_a_part_follow_one_another(ingest_files) -> None:
    files = {"b.csv": b"text,label\nthree,x\nfour,y\n", "a.csv": b"label,text\nx,one\ny,two\n"}
    read = ingest_files(files, {"files": {"data": "*.csv"}})
    assert [row["label"] + row["text"] for row in read.rows()] == ["xone", "ytwo", "xthree", "yfour"]
    assert [(file.name, file.rows) for file in read.report.files] == [("a.csv", 2), ("b.csv", 2)]


def test_given_parts_have_their_own_figures(ingest_files) -> None:
    read = ingest_files({"train.csv": REVIEWS, "test.csv": b"text,label\nfine,good\npoor,bad\nnew,odd\n"})
    assert read.profile.parts["test"].label_counts == {"bad": 1, "good": 1, "odd": 1}
    assert read.profile.label_counts == {"bad": 1251, "good": 1251, "odd": 1}
    assert read.report.warnings == ["the test part has labels that the training part does not have: 'odd'"]


def test_the_same_bytes_are_the_same_dataset_whoever_publishes_them(ingest_files) -> None:
    first = ingest_files({"reviews.csv": REVIEWS})
    again = ingest_files({"other-name.csv": REVIEWS}, previous=first)
    assert again.digests == first.digests


def test_how_a_reader_cuts_batches_makes_no_difference(ingest_files, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ingest_files({"reviews.csv": REVIEWS}, {"shard_rows": 1000})
    real = ingest_dataset.open_parts

    def cut(*args: Any) -> Any:
        tables = real(*args)
        for table in (table for part in tables.values() for table in part):
            batches = table.batches

            def smaller(bad: Any, batches: Any = batches) -> Iterator[Batch]:
                for batch in batches(bad):
                    for start in range(0, batch.rows.num_rows, 77):
                        yield Batch(batch.rows.slice(start, 77), batch.fraction)

            table.batches = smaller
        return tables

    monkeypatch.setattr(ingest_dataset, "open_parts", cut)
    assert ingest_files({"reviews.csv": REVIEWS}, {"shard_rows": 1000}).digests == whole.digests


broken = st.sampled_from(
    [b"\x00", b"\xff", b'"', b"\n", b"\r", b",", b"\xe5\xa5", b"\xef\xbb\xbf", b"NaN", b"1e999", b""]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 30), broken), max_size=12))
def test_however_rows_are_broken_every_one_is_kept_put_aside_or_refused(
    ingest_files, places: list[tuple[int, int, bytes]]
) -> None:
    rows = bytearray("".join(f'{n},"some, text {n} 好",{"ab"[n % 2]}\n' for n in range(60)).encode())
    for place, length, instead in places:
        rows[place : place + length] = instead
    data = {"label": "label", "on_bad_row": "quarantine", "expected": {"columns": {"age": "integer"}}}
    try:
        read = ingest_files({"x.csv": b"age,text,label\n" + bytes(rows)}, data)
    except InvalidInput:  # more than half of it is bad, or no class is left to tell from another
        return
    assert len(read.quarantined) == read.result.bad_rows == read.report.bad_rows.rows
    assert len(read.rows()) == read.result.rows >= read.result.bad_rows
    ages = {row["age"].strip() for row in read.rows()} - {"", "NaN"}
    assert all(age.lstrip("+-").isdecimal() for age in ages)


def test_what_was_read_and_how_is_in_the_report(ingest_files) -> None:
    rows = "text;label\n" + "好,的 手机;好评\n差 手机;差评\n" * 20
    report = ingest_files({"评论.csv": rows.encode("gb18030")}).report
    (file,) = report.files
    assert (file.format, file.encoding, file.delimiter, file.header) == ("csv", "gb18030", ";", True)
    assert [(repair.says, repair.rows) for repair in report.repairs] == [("written in gb18030; kept as UTF-8", 40)]


def test_markers_and_white_space_are_counted_as_what_they_are(ingest_files) -> None:
    rows = "size,colour,label\n" + " 1, red ,a\n?,NA,b\n3,,a\n" * 4
    read = ingest_files({"t.csv": rows.encode()}, {"label": "label"}, recipe=TABLE)
    size, colour = read.figures("size"), read.figures("colour")
    assert (size.kind, size.missing, size.markers, size.padded) == ("integer", 4, {"?": 4}, 4)
    assert (colour.missing, colour.markers, colour.values) == (8, {"NA": 4}, {"red": 4})
    assert [(repair.column, repair.says, repair.rows) for repair in read.report.repairs] == [
        ("size", "white space around the value", 4),
        ("size", "'?' says that there is no value", 4),
        ("colour", "white space around the value", 4),
        ("colour", "'NA' says that there is no value", 4),
    ]


def test_in_the_task_s_texts_a_marker_is_a_text(ingest_files) -> None:
    rows = "text,label\n" + "null,a\nNA,b\nsome words,a\n" * 4
    text = ingest_files({"t.csv": rows.encode()}).figures("text")
    assert (text.kind, text.missing, text.values) == ("text", 0, {"NA": 4, "null": 4, "some words": 4})


def test_texts_that_look_like_numbers_are_texts_where_the_task_says_so(ingest_files) -> None:
    rows = "text,label\n" + "12345,a\n67890,b\n" * 5
    assert ingest_files({"t.csv": rows.encode()}, {"text": "text"}).kind("text") == "text"


def test_the_recipe_is_frozen_with_what_was_found(ingest_files) -> None:
    read = ingest_files({"reviews.csv": REVIEWS})
    frozen = json.loads((read.folder / "recipe" / "recipe.json").read_text())
    assert (frozen["task"], frozen["data"]["text"], frozen["data"]["format"]) == ("text-classification", "text", "csv")
    assert "economics" not in frozen


def test_a_run_that_wants_a_model_of_a_task_without_one_is_refused(ingest_files) -> None:
    files = {"t.csv": b"size,weight,label\n1,2,a\n3,4,b\n5,6,a\n7,9,b\n"}
    with pytest.raises(InvalidInput, match="until: prepared"):
        ingest_files(files, {"label": "label"}, recipe={"task": "tabular-classification"})


def test_a_worker_that_wants_to_leave_hands_the_job_back(tmp_path: Path) -> None:
    class Leaving(SilentReport):
        stop_requested = True

    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "reviews.csv").write_bytes(REVIEWS)
    with pytest.raises(HandedBack):
        ingest(IngestSpec(recipe=parse_recipe({})), Inputs({"source": tmp_path / "source"}), tmp_path / "o", Leaving())


def test_memory_stays_flat_as_rows_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python and Arrow hold between batches is at most a half more at 40 batches than at 10."""

    class Endless:
        path = tmp_path / "endless.csv"
        columns = ("text", "size", "label")
        kinds: dict[str, str] = {}  # noqa: RUF012
        writing = Writing("csv", "utf-8", ",", True, True)

        def __init__(self, batches: int) -> None:
            self._batches = batches

        def batches(self, bad: Any) -> Iterator[Batch]:
            for number in range(self._batches):
                texts = [f"text {number} {row} " + "x" * 20 for row in range(2048)]
                sizes = [str(row * 31 % 9973 + number / 7) for row in range(2048)]
                labels = ["a", "b"] * 1024
                columns = [pa.array(texts), pa.array(sizes), pa.array(labels)]
                yield Batch(pa.RecordBatch.from_arrays(columns, list(self.columns)), number / self._batches)

    class Watching(SilentReport):
        most = 0

        def progress(self, *_: object, **__: object) -> None:
            self.most = max(self.most, tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes())

    def peak(batches: int) -> int:
        monkeypatch.setattr(ingest_dataset, "open_parts", lambda *_: {"data": [Endless(batches)]})
        report = Watching()
        tracemalloc.start()
        spec = IngestSpec(recipe=parse_recipe({"data": {"text": "text", "label": "label", "shard_rows": 5_000}}))
        (tmp_path / f"s{batches}").mkdir()
        ingest(spec, Inputs({"source": tmp_path / f"s{batches}"}), tmp_path / f"o{batches}", report)
        tracemalloc.stop()
        return report.most

    peak(1)  # what is imported and compiled once
    assert peak(40) <= 1.5 * peak(10)

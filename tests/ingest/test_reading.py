"""Ingest reads what people have: dialects, encodings, formats, given parts, real data."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.formats.dialect import Dialect, sniff
from services.ingest.sources.policy import SourcePolicy
from services.ingest.stage import ingest_stage
from tidemill.contracts import ArtifactRef, DatasetPublished, Recipe, ResourceUsage
from tidemill.contracts.data import Data
from tidemill.stage.definition import JobResult

REVIEWS = [("这个手机很好用，物流也快", "好评"), ("质量太差了，不推荐大家购买", "差评")] * 10


def written(rows: list[tuple[str, str]], header: tuple[str, str] | None = ("text", "label"), **options: Any) -> str:
    out = io.StringIO()
    csv.writer(out, **options).writerows([header, *rows] if header else rows)
    return out.getvalue()


pieces = [*list("\",;\t|'\n ab1"), "你", "好", "。", "😀", "👩\u200d🚀", "é", "\u2028", "\x85", "\\", "\r\n", '""']
nasty = st.lists(st.sampled_from(pieces), max_size=30).map("".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(nasty, min_size=4, max_size=25),
    delimiter=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_what_the_csv_module_wrote_is_read_back(ingest_files, texts: list[str], delimiter: str, quoting: int) -> None:
    rows = [(text, f"label {number % 2}") for number, text in enumerate(texts)]
    rows.append(("a plain text", "label 0"))
    # Without quotes around every field, a tab separated file may as well hold stray quotes.
    document = written(rows, delimiter=delimiter, quoting=csv.QUOTE_ALL if delimiter == "\t" else quoting)
    read = ingest_files({"nasty.csv": document.encode()}, {"text": "text", "label": "label"})
    assert [(row["text"], row["label"]) for row in read.rows()] == rows


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiter_and_header_are_found(ingest_files, delimiter: str, end: str) -> None:
    document = written([("good, really", "yes"), ("bad; very", "no")] * 8, delimiter=delimiter, lineterminator=end)
    read = ingest_files({"reviews.csv": document.encode()})
    assert read.result.parts == {"data": 16}
    assert read.rows()[0] == {"text": "good, really", "label": "yes"}
    assert (read.recipe.data.text, read.recipe.data.label, read.recipe.data.header) == ("text", "label", True)


def test_stray_quotes_do_not_join_lines(ingest_files) -> None:
    lines = ['ham\t"Hello" she said', "spam\tbuy now", 'ham\t"unclosed', 'spam\t"win" a prize"', "ham\tfine"] * 3
    read = ingest_files({"sms": "\n".join(lines).encode()}, {"columns": ["label", "text"]})
    assert [f"{row['label']}\t{row['text']}" for row in read.rows()] == lines


def test_quotes_that_pair_up_by_accident_do_not_join_lines(ingest_files) -> None:
    lines = ["ham\tone", 'spam\t"two', 'ham\tthree"', "spam\tfour"] * 3
    read = ingest_files({"sms.tsv": "\n".join(lines).encode()}, {"columns": ["label", "text"]})
    assert read.result.rows == 12


def test_a_stray_quote_far_behind_the_sample_is_plain_text_too() -> None:
    lines = [f"ham\ttext {number}\n" for number in range(50)]
    sniffed = sniff(lines, truncated=True, format="csv", data=Data())
    assert sniffed.dialect == Dialect("\t", quoted=True)
    assert Dialect("\t", quoted=False) in sniffed.otherwise


def test_a_stray_quote_after_the_sample_changes_the_dialect_of_the_whole_file(ingest_files) -> None:
    lines = [f"ham\ttext number {number}" for number in range(20_000)] + ['spam\t"stray" quote', 'spam\t"another']
    read = ingest_files({"sms": "\n".join(lines).encode()}, {"columns": ["label", "text"]})
    assert [row["text"] for row in read.rows()[-2:]] == ['"stray" quote', '"another']


def test_line_breaks_inside_quoted_fields_are_kept(ingest_files) -> None:
    rows = [("first line\nsecond, line", "a"), ("one\r\ntwo", "b"), ('say ""yes""', "a")]
    assert [(r["text"], r["label"]) for r in ingest_files({"x.csv": written(rows).encode()}).rows()] == rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_chinese_text_is_read_in_its_encoding(ingest_files, encoding: str) -> None:
    document = written(REVIEWS, header=("内容", "标签"))
    read = ingest_files({"评论.csv": document.encode(encoding)})
    assert [(row["内容"], row["标签"]) for row in read.rows()] == REVIEWS
    assert (read.recipe.data.text, read.recipe.data.label) == ("内容", "标签")
    assert read.recipe.data.encoding == encoding


def test_a_few_chinese_words_among_english_ones_are_enough_for_gb18030(ingest_files) -> None:
    document = written([("the phone is 很好用的手机", "good"), ("not what I expected 太差了", "bad")] * 3)
    assert ingest_files({"x.csv": document.encode("gb18030")}).rows()[0]["text"] == "the phone is 很好用的手机"


def test_western_text_is_read_in_cp1252(ingest_files) -> None:
    rows = [("the café is très bien, naïve", "good"), ("it costs £5 – not “good”", "bad")] * 20
    assert ingest_files({"x.csv": written(rows).encode("cp1252")}).rows()[1]["text"] == rows[1][0]


def test_json_lines_keep_every_value(ingest_files) -> None:
    objects = [
        {"text": "line\nbreak “quoted” 你好", "label": 1},
        {"text": "plain", "label": 0, "extra": {"a": [1, None]}},
        {"label": 1, "text": "late", "flag": True},
        {"text": "no extra", "label": 0, "flag": None},
    ]
    document = "\n".join(json.dumps(value, ensure_ascii=False) for value in objects) + "\n\n"
    read = ingest_files({"rows.jsonl": document.encode()})
    assert read.rows()[1] == {"text": "plain", "label": "0", "extra": '{"a":[1,null]}', "flag": None}
    assert read.rows()[2]["flag"] == "true"
    kinds = {column.name: column.kind for column in read.schema.columns}
    assert kinds == {"text": "text", "label": "integer", "extra": "category", "flag": "boolean"}


def test_parquet_keeps_its_types(ingest_files, tmp_path: Path) -> None:
    table = pa.table({"review": pa.array(["good", "bad"] * 4).dictionary_encode(), "stars": [5, 1] * 4})
    pq.write_table(table, tmp_path / "t.parquet")
    read = ingest_files({"reviews.parquet": (tmp_path / "t.parquet").read_bytes()}, {"label": "stars"})
    assert read.rows()[0] == {"review": "good", "stars": 5}
    assert read.profile.label_counts == {"1": 4, "5": 4}


def test_given_parts_stay_apart_and_share_their_header(ingest_files) -> None:
    document = written([("good", "yes"), ("bad", "no")] * 3).encode()
    # Its first row could be a header, were it alone; its columns come in another order.
    test_part = b"label,text\nmaybe,fine\nno,poor\n"
    read = ingest_files({"train.csv": document, "dev.tsv": document.replace(b",", b"\t"), "test.csv": test_part})
    assert read.result.parts == {"train": 6, "validation": 6, "test": 2}
    assert read.rows("test")[0] == {"text": "fine", "label": "maybe"}
    assert [file.format for file in read.report.files] == ["csv", "tsv", "csv"]
    assert read.recipe.data.format == "auto"


def test_profile_counts_what_is_missing(ingest_files) -> None:
    read = ingest_files({"x.csv": b"text,label\ngood,yes\n,no\n  ,no\nfine,\nbad,no\n"})
    assert {column.name: column.missing for column in read.profile.columns} == {"text": 2, "label": 1}
    assert read.profile.label_counts == {"yes": 1, "no": 3}


def test_the_same_source_gives_the_same_bytes(ingest_files) -> None:
    files = {"x.csv": written(REVIEWS).encode()}
    first = {path.name: path.read_bytes() for path in ingest_files(files).folder.rglob("*") if path.is_file()}
    again = {path.name: path.read_bytes() for path in ingest_files(files).folder.rglob("*") if path.is_file()}
    assert first == again
    assert first.keys() == {"00000.parquet", "profile.json", "schema.json", "recipe.json", "report.json"}


def test_sms_spam_is_read_as_published(ingest_files, real_data: Path) -> None:
    raw = (real_data / "sms_spam" / "SMSSpamCollection").read_bytes()
    read = ingest_files({"SMSSpamCollection": raw}, {"columns": ["label", "text"]})
    expected = [line.split("\t") for line in raw.decode().split("\n") if line]
    assert [[row["label"], row["text"]] for row in read.rows()] == expected
    assert read.profile.label_counts == {"ham": 4827, "spam": 747}


def test_banking77_is_read_as_published(ingest_files, real_data: Path) -> None:
    folder = real_data / "banking77"
    names = ("train.csv", "test.csv", "categories.json", "LICENSE")
    read = ingest_files({name: (folder / name).read_bytes() for name in names})
    for part in ("train", "test"):
        with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            assert read.rows(part) == list(csv.DictReader(file))
    assert read.result.parts == {"train": 10003, "test": 3080}
    assert (read.recipe.data.text, read.recipe.data.label, read.result.task) == (
        "text",
        "category",
        "text-classification",
    )


def test_the_stage_freezes_the_recipe_and_announces_the_dataset() -> None:
    def ref(kind: Any, digit: str) -> ArtifactRef:
        return ArtifactRef(digest=f"sha256:{digit * 64}", kind=kind, size_bytes=1)

    stage = ingest_stage(SourcePolicy())
    event = DatasetPublished(run_id="r1", name="reviews", source=ref("source", "1"), promote=False, use_cache=False)
    (job,) = stage.plan(event, Recipe())
    assert job.inputs == {"source": event.source}
    assert job.spec.recipe.promotion.enabled is False
    result = stage.result(task="text-classification", rows=3, parts={"data": 3})
    artifacts = {"dataset": ref("dataset", "2"), "recipe": ref("recipe", "3"), "report": ref("report", "4")}
    announced = stage.join(event, Recipe(), [JobResult(result, artifacts, ResourceUsage(), cached=False)])
    assert announced.model_dump(include={"dataset", "recipe", "source"}) == {
        "dataset": artifacts["dataset"].model_dump(),
        "recipe": artifacts["recipe"].model_dump(),
        "source": ref("source", "1").model_dump(),
    }
    assert (announced.run_id, announced.rows, announced.use_cache) == ("r1", 3, False)

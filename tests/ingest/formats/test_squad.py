"""SQuAD JSON: a row for each question; one that is broken costs itself only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ingest.reading import read_folder
from tidemill.errors import InvalidInput


def squad(*paragraphs: object, title: object = "T") -> bytes:
    return json.dumps({"version": "1.1", "data": [{"title": title, "paragraphs": list(paragraphs)}]}).encode()


def question(name: str, **changes: object) -> dict[str, object]:
    return {"id": name, "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}], **changes}


def test_questions_are_rows(read_files) -> None:
    content = squad({"context": "Ada wrote.", "qas": [question("1"), question("2", answers=[])]})
    read = read_files({"x.json": content})
    assert read.rows() == [
        {"id": "1", "title": "T", "context": "Ada wrote.", "question": "Who?",
         "answers": {"text": ["Ada"], "answer_start": [0]}},
        {"id": "2", "title": "T", "context": "Ada wrote.", "question": "Who?",
         "answers": {"text": [], "answer_start": []}},
    ]  # fmt: skip
    assert read.table.kinds == {"answers": "nested"}
    assert read.table.writing.format == "squad"


def test_what_is_broken_in_the_middle_costs_itself_only(read_files) -> None:
    fine = [question(str(number)) for number in range(10)]
    broken = [
        question("a", question=None),
        question("b", answers=[{"text": "Ada", "answer_start": "0"}]),
        question("c", answers="Ada"),
        "d",
        question("e", answers=[{"text": "Ada", "answer_start": 1 << 40}]),
    ]
    content = squad({"context": "Ada wrote.", "qas": [*fine, *broken, *fine]}, {"qas": fine}, 7)
    read = read_files({"x.json": content}, tolerant=True)
    assert [bad.row for bad in read.bad] == [11, 12, 13, 14, 15, 26, 27]
    says = ["'question' is missing", "'answer_start' is 0, not", "'answers' is a string", "a string where an object",
            "'answer_start' is 1099511627776", "'context' is missing", "a number where an object"]  # fmt: skip
    for bad, reason in zip(read.bad, says, strict=True):
        assert reason in bad.reason
    assert "question 'a' in the article at line 1" in read.bad[0].reason
    assert len(read.rows()) == 20


def test_a_broken_question_with_bytes_that_do_not_decode_is_shown(read_files) -> None:
    fine = [question(str(number)) for number in range(10)]
    content = squad({"context": "Ada wrote.", "qas": [*fine, question("a", answers=["#"])]})
    read = read_files({"x.json": content.replace(b"#", b"caf\xff")}, tolerant=True)
    assert [bad.row for bad in read.bad] == [11]
    assert read.bad[0].content == '{"id":"a","question":"Who?","answers":["caf\\xFF"]}'
    assert len(read.rows()) == 10


@pytest.mark.parametrize("content", [b'{"data": [], "paragraphs": []}', b'{"data": {"paragraphs": []}}', b"[]", b"{"])
def test_what_is_no_squad_is_refused(read_files, content: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"x.json"):
        read_files({"x.json": content}, {"format": "squad"})


@pytest.mark.parametrize(("folder", "rows"), [("xquad", 2380), ("cmrc2018", 1002)])
def test_published_sets_are_read(real_data: Path, folder: str, rows: int) -> None:
    read = read_folder(real_data / folder)
    assert read.parts == {"data": rows}
    assert read.table.columns == ["id", "title", "context", "question", "answers"]
    right = [
        row["context"][start : start + len(text)] == text
        for row in read.rows()
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
    ]
    # Whether an offset is right is for preprocess; the files have a few wrong ones.
    assert sum(right) > 0.98 * len(right)

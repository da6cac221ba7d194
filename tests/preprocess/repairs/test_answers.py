"""Offsets of answers point at the answers, whatever the file said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

ROLES = {"question": "question", "context": "context", "answers": "answers"}
ANSWERS = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))])


def spans(*answers: tuple[str | None, int | None]) -> dict[str, list[Any]]:
    return {"text": [text for text, _ in answers], "answer_start": [start for _, start in answers]}


def table(*rows: tuple[str | None, str | None, dict[str, Any] | None]) -> pa.Table:
    question, context, answers = zip(*rows, strict=True)
    return pa.table({
        "question": pa.array(question, pa.string()),
        "context": pa.array(context, pa.string()),
        "answers": pa.array(answers, ANSWERS),
    })  # fmt: skip


def squad(file: Path) -> pa.Table:
    paragraphs = [part for entry in json.loads(file.read_text("utf-8"))["data"] for part in entry["paragraphs"]]
    return table(*(
        (asked["question"], part["context"], spans(*((a["text"], a["answer_start"]) for a in asked["answers"])))
        for part in paragraphs
        for asked in part["qas"]
    ))  # fmt: skip


def answered(repair, rows: pa.Table):
    return repair("question-answering", ROLES, rows)


def test_the_five_wrong_offsets_of_cmrc_are_put_right_and_counted(real_data: Path, repair) -> None:
    rows = squad(real_data / "cmrc2018" / "cmrc2018_trial.json")
    result = answered(repair, rows)
    assert result.counts == {"moved answers": 5}
    # Two of its questions are empty strings.
    assert result.removed == {"remove empty questions": 2}
    assert len(result.rows) == 1002 - 2
    for row in result.rows:
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text
    asked = [row["answers"] for row in rows.to_pylist() if row["question"]]
    moved = [
        (before["answer_start"], after["answers"]["answer_start"])
        for before, after in zip(asked, result.rows, strict=True)
        if before != after["answers"]
    ]
    assert moved == [([14], [13]), ([38], [37]), ([227], [226]), ([307], [306]), ([353], [352])]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_xquad_needs_no_repair(real_data: Path, repair, language: str) -> None:
    result = answered(repair, squad(real_data / "xquad" / f"xquad.{language}.json"))
    assert (len(result.rows), result.counts, result.removed) == (1190, {}, {})


@pytest.mark.parametrize(
    ("context", "given", "right"),
    [
        ("a cat, a dog, a cat", 12, 16),
        ("a cat, a dog, a cat", 4, 2),
        ("a cat, a dog, a cat", -7, 2),
        ("a cat, a dog, a cat", 900, 16),
        ("a cat, a dog, a cat", None, 2),
        # As near to one as to the other: the first.
        ("cat12345cat", 4, 0),
        # Offsets are in characters, not in bytes or UTF-16 units.
        ("🐈🐈cat", 4, 2),
    ],
)
def test_the_nearest_occurrence_is_taken(repair, context: str, given: int | None, right: int) -> None:
    result = answered(repair, table(("which?", context, spans(("cat", given)))))
    assert result.rows[0]["answers"] == spans(("cat", right))
    assert result.counts == {"moved answers": 1}


def test_a_row_goes_when_none_of_its_answers_is_in_the_context(repair) -> None:
    result = answered(
        repair,
        table(
            ("who?", "a cat", spans(("dog", 0))),
            ("who?", "a cat", spans(("", 0))),
            ("who?", "a cat", spans((None, 0))),
            ("who?", "a cat", spans(("dog", 0), ("cat", 2))),
        ),
    )
    assert [row["answers"] for row in result.rows] == [spans(("cat", 2))]
    assert result.removed == {"repair answer offsets": 3}
    assert result.counts == {"answers not in the context": 1}


def test_a_question_that_has_no_answer_stays(repair) -> None:
    result = answered(repair, table(("why?", "a cat", spans()), ("why?", "a cat", None)))
    assert len(result.rows) == 2
    assert result.removed == {}


def test_rows_without_a_question_or_a_context_go(repair) -> None:
    rows = [(" ", "a cat"), (None, "a cat"), ("\u3000", "a cat"), ("who?", ""), ("who?", None), ("谁?", "猫")]
    result = answered(repair, table(*((question, context, spans()) for question, context in rows)))
    assert [row["question"] for row in result.rows] == ["谁?"]
    assert result.removed == {"remove empty questions": 5}

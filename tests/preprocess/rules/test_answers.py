"""Answers point into their context, also behind everything that was done to it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.texts import normalize

ROLES = {"question": "q", "context": "c", "answers": "a"}
KINDS = {"a": "nested"}
WORDS = st.lists(st.sampled_from(["cat", "猫", "a", "a a", "é", "e\u0301", "b\u200bb", "x."]), min_size=1, max_size=12)
GAPS = st.lists(st.sampled_from([" ", "  ", "\n\n", "\u3000", "\t "]), min_size=12, max_size=12)


def table(context: str, starts: list[int], texts: list[str]) -> pa.Table:
    answers: Any = [{"text": texts, "answer_start": starts}]
    kind = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))])
    return pa.table({"q": ["?"], "c": [context], "a": pa.array(answers, kind)})


def test_an_answer_that_occurs_often_stays_the_one_that_was_meant(prepare) -> None:
    context = "  a cat,\n\n\n  a   cat, a cat"
    start = context.index("a   cat")
    prepared = prepare(table(context, [start], ["a   cat"]), kinds=KINDS, task="question-answering", roles=ROLES)
    assert prepared["c"] == ["a cat, a cat, a cat"]
    assert prepared["a"] == [{"text": ["a cat"], "answer_start": [7]}]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=WORDS, gaps=GAPS, data=st.data())
def test_every_answer_stands_where_its_offset_points(prepare, words: list[str], gaps: list[str], data) -> None:
    context, places = "", []
    for word, gap in zip(words, gaps, strict=False):
        context += gap
        places.append(len(context))
        context += word
    chosen = data.draw(st.integers(0, len(words) - 1))
    rows = table(context, [places[chosen]], [words[chosen]])
    prepared = prepare(
        rows, kinds=KINDS, task="question-answering", roles=ROLES, text_rules={"lowercase": True}
    )  # fmt: skip
    (answer,), (changed,) = prepared["a"], prepared["c"]
    (text,), (start,) = answer["text"], answer["answer_start"]
    assert text == normalize(words[chosen])
    assert changed.startswith(text, start)

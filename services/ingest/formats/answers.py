"""The column of answers of extractive question answering: their texts, and where in the context each begins."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from services.ingest.formats.json_values import Number

ANSWERS = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))])
"""``answer_start`` counts characters of the context from 0."""
_LARGEST = (1 << 31) - 1


def is_answers(value: Any) -> bool:
    """Whether a JSON value is ``{"text": […], "answer_start": […]}`` with as many starts as texts."""
    if type(value) is not dict or value.keys() != {"text", "answer_start"}:
        return False
    texts, starts = value["text"], value["answer_start"]
    return (
        type(texts) is list
        and type(starts) is list
        and len(texts) == len(starts)
        and all(type(text) is str for text in texts)
        and all(is_start(start) for start in starts)
    )


def is_start(value: Any) -> bool:
    """Whether a JSON value is an offset into a text. Negative ones are for preprocess to judge: data sets mark with
    them what was not found."""
    if type(value) is Number:
        return value.removeprefix("-").isdigit() and len(value) <= 10 and abs(int(value)) <= _LARGEST
    return type(value) is int and abs(value) <= _LARGEST


def answers_array(values: list[Any]) -> pa.Array:
    """Values for which ``is_answers`` holds, or None, as an array of ``ANSWERS``."""
    rows = [
        value and {"text": value["text"], "answer_start": [int(start) for start in value["answer_start"]]}
        for value in values
    ]
    return pa.array(rows, ANSWERS)

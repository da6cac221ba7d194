"""Answers that point into a context by character (SQuAD), when the context has been edited. Knows Arrow alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

ANSWERS = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))])


def realigned(contexts: pa.Array, edits: pa.Array, answers: pa.Array) -> pa.Array:
    """``answers`` (``ANSWERS``) to ``contexts``, which are what the ``edits`` made of the ones before.

    An answer that was changed in part is what stands there now: from the begin of the first edit in it, or its own,
    to the end of the last.
    """
    moved = []
    for context, changed, answer in zip(contexts.to_pylist(), edits.to_pylist(), answers.to_pylist(), strict=True):
        if changed and answer is not None and context is not None:
            spans = [
                (_moved(start, changed, ends=False), _moved(start + len(text), changed, ends=True))
                for text, start in zip(answer["text"] or (), answer["answer_start"] or (), strict=True)
            ]
            answer = {
                "text": [context[start:end] for start, end in spans],
                "answer_start": [start for start, _ in spans],
            }
        moved.append(answer)
    return pa.array(moved, answers.type)


def _moved(position: int, edits: Sequence[Mapping[str, int]], *, ends: bool) -> int:
    """Where the edge of an answer is after the edits; within one it moves to the edge of what stands there now."""
    shift = 0
    for edit in edits:
        if position <= edit["start"]:
            break
        if position < edit["end"]:
            return edit["start"] + shift + (edit["length"] if ends else 0)
        shift += edit["length"] - (edit["end"] - edit["start"])
    return position + shift

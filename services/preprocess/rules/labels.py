"""Class labels: written in one way where they mean one thing.

Adult income's test labels end with a dot that the training ones lack; sheets filled by hand have ``Spam`` beside
``spam``. Two labels are one when

1. they differ in white space, control characters or Unicode form: those are no part of a label;
2. one is the other with a dot at the end;
3. they differ in case and no part of the dataset has both: within one part they may well be two classes (letters of
   the alphabet, say), across parts they are two hands that wrote one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from daft import DataType, Expression, Series, col, func

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.rules.coercion import as_text
from services.preprocess.rules.columns import WORDS, listed
from services.preprocess.rules.texts import normalised
from tidemill.datasets import Column
from tidemill.texts import normalize

LabelCounts = Mapping[str, Mapping[str, int]]
"""Rows by label by part, as ingest counted them."""


def normalise_labels(label: str) -> RowStep:
    """The label as text, normalised as texts are."""

    def make(columns: Mapping[str, Column]) -> Change:
        column = columns[label]
        text = col(label) if column.strings or column.kind in WORDS else as_text(col(label), column.kind)
        value = normalised(text)
        return Change({label: value})

    def after(columns: Mapping[str, Column]) -> dict[str, Column]:
        return {**columns, label: Column(name=label, kind="category", strings=True)}

    return Step("normalise labels", "the same for labels, so that equal labels are equal", make, after)


def unify_labels(label: str, counts: LabelCounts, *, shown: bool = True) -> RowStep:
    """Labels that mean the same become the same; ``shown``: the report may name them."""
    spelling = one_spelling(counts)

    def make(columns: Mapping[str, Column]) -> Change:
        if not spelling:
            return Change()
        value = substituted(col(label), list(spelling), list(spelling.values()))
        return Change({label: value})

    pairs = [f"{old!r} is {new!r}" for old, new in spelling.items()]
    which = listed(pairs) if shown else f"{len(pairs)} ways to write one"
    return Step("unify labels", f"labels that differ in a dot at the end or in case: {which}", make)


def one_spelling(counts: LabelCounts) -> dict[str, str]:
    """The label to write for each normalised label that is another's variant."""
    parts: dict[str, set[str]] = defaultdict(set)
    rows: dict[str, int] = defaultdict(int)
    for part, labels in counts.items():
        for written, count in labels.items():
            parts[normalize(written)].add(part)
            rows[normalize(written)] += count
    spelling: dict[str, str] = {}
    for found in sorted(parts):
        plain = found.removesuffix(".").rstrip()
        if plain != found and plain in parts:
            spelling[found] = plain
    for found, plain in spelling.items():
        parts[plain] |= parts[found]
        rows[plain] += rows[found]
    variants: dict[str, list[str]] = defaultdict(list)
    for found in sorted(parts.keys() - spelling.keys()):
        variants[found.casefold()].append(found)
    for same in variants.values():
        if len(same) > 1 and sum(len(parts[found]) for found in same) == len(set().union(*(parts[f] for f in same))):
            best = min(same, key=lambda found: ("train" not in parts[found], -rows[found], found))
            spelling |= {found: best for found in same if found != best}
    return {found: spelling.get(plain, plain) for found, plain in spelling.items()}


def substituted(value: Expression, old: Sequence[str], new: Sequence[str]) -> Expression:
    """``new[i]`` where the value is ``old[i]``, the value itself elsewhere."""
    return _substituted(value, list(old), list(new))


@func.batch(return_dtype=DataType.string(), use_process=False)
def _substituted(value: Series, old: list[str], new: list[str]) -> pa.Array:
    array = value.to_arrow()
    places = pc.index_in(array, pa.array(old, array.type))
    return pc.coalesce(pa.array(new, array.type).take(places), array)

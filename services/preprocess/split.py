"""Cuts a dataset into training, validation and test parts: stratified, without leakage, the same everywhere.

Where an example goes depends on its content, the labels' sizes and the seed alone, not on the order of rows, the
machine or a random generator: adding a row moves few others, and a text is never in two parts.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from tidemill.errors import InvalidInput


def assign_parts(
    keys: Sequence[str], labels: Sequence[str], rows: Sequence[int], shares: Mapping[str, float], *, seed: int
) -> list[str]:
    """The part of every example: one of ``shares``, or ``train`` for the rest. ``rows`` name examples in messages.

    Examples with the same key go to the same part. Within each label, keys are taken in the order of their seeded
    hash until a part has its share of the label's examples, at least one; a key that has several labels goes to
    ``train``.

    Raises:
        InvalidInput: a class has too few distinct texts to be in every part.
    """
    label_of, size_of, mixed = _grouped(keys, labels)
    pure: defaultdict[str, list[str]] = defaultdict(list)
    for key, label in label_of.items():
        if key not in mixed:
            pure[label].append(key)
    in_train = set().union(*mixed.values()) if mixed else set()
    sizes = Counter(labels)
    needed = len(shares) + 1
    texts = {label: len(pure[label]) + (label in in_train) for label in sizes}
    small = sorted(label for label, count in texts.items() if count < needed)
    if small:
        raise _too_small({label: _rows_of(label, labels, rows) for label in small[:10]}, texts, needed, len(small))
    rank = _rank_by(seed)
    part_of: dict[str, str] = {}
    for label, own in pure.items():
        own.sort(key=rank)
        reserved = len(shares) + (label not in in_train)
        position = 0
        for part, share in shares.items():
            reserved -= 1
            wanted, taken = max(1, math.floor(sizes[label] * share + 0.5)), 0
            while taken < wanted and (taken == 0 or position < len(own) - reserved):
                part_of[own[position]] = part
                taken += size_of[own[position]]
                position += 1
    return [part_of.get(key, "train") for key in keys]


def _grouped(keys: Sequence[str], labels: Sequence[str]) -> tuple[dict[str, str], Counter[str], dict[str, set[str]]]:
    """One label of each key, how many examples it has, and all labels of those that have several."""
    label_of: dict[str, str] = {}
    mixed: dict[str, set[str]] = {}
    for key, label in zip(keys, labels, strict=True):
        if label_of.setdefault(key, label) != label:
            mixed.setdefault(key, {label_of[key]}).add(label)
    return label_of, Counter(keys), mixed


def _rows_of(label: str, labels: Sequence[str], rows: Sequence[int]) -> list[int]:
    return [row for row, own in zip(rows, labels, strict=True) if own == label]


def _rank_by(seed: int) -> Callable[[str], bytes]:
    seeded = hashlib.blake2b(digest_size=16, key=str(seed).encode()[:64])

    def rank(key: str) -> bytes:
        own = seeded.copy()
        own.update(key.encode())
        return own.digest()

    return rank


def _too_small(rows: Mapping[str, Sequence[int]], texts: Mapping[str, int], needed: int, classes: int) -> InvalidInput:
    def described(label: str) -> str:
        of_it = rows[label]
        shown = ", ".join(map(str, of_it[:3])) + ("…" if len(of_it) > 3 else "")
        found = f"1 row (row {shown})" if len(of_it) == 1 else f"{len(of_it)} rows (rows {shown})"
        return f"{label!r} has {found}" + (f" of {texts[label]} different texts" if len(of_it) >= needed else "")

    more = f" and {classes - len(rows)} more" if classes > len(rows) else ""
    return InvalidInput(
        f"every class needs at least {needed} different texts, to be in every part; class "
        f"{', class '.join(described(label) for label in rows)}{more}; add rows of the class, give its rows another "
        "label, or remove them"
    )

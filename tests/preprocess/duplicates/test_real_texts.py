"""Real texts: what is found, beside the exact similarity of all pairs of a sample."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import pytest

from services.preprocess.duplicates import Reason
from tests.preprocess.duplicates.conftest import Decide
from tidemill.contracts.preparation import NearDuplicates

NEAR = NearDuplicates(threshold=0.6, within="keep")


def messages(data: Path) -> list[str]:
    lines = (data / "sms_spam" / "SMSSpamCollection").read_text(encoding="utf-8").splitlines()
    return [line.split("\t", 1)[1] for line in lines]


def queries(data: Path, part: str) -> list[str]:
    with (data / "banking77" / f"{part}.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("source", ["sms_spam", "banking77"])
def test_what_is_alike_among_real_texts_is_found_and_nothing_else(decide: Decide, real_data: Path, source: str) -> None:
    texts = messages(real_data)[::2] if source == "sms_spam" else queries(real_data, "train")[::2]
    found = decide(texts, near=NEAR, drop_duplicates=False)
    alike = pairs_alike(texts, NEAR.threshold)
    missed = [pair for pair in alike if not found.together(*pair)]
    assert len(alike) > 100
    assert len(missed) <= 0.05 * len(alike)
    links = Counter(position for pair in alike for position in pair)
    group = found.found.group
    in_clusters = [
        row for row, size in enumerate(Counter(group.tolist())[first] for first in group.tolist()) if size > 1
    ]
    assert [texts[row] for row in in_clusters if row not in links] == []


def test_given_parts_of_real_texts_do_not_resemble_each_other_afterwards(decide: Decide, real_data: Path) -> None:
    train, test = queries(real_data, "train")[::2], queries(real_data, "test")[::2]
    found = decide({"train": train, "test": test}, near=NearDuplicates(threshold=0.6, within="keep"))
    assert (found.found.removed == Reason.NEAR_LATER_PART).sum() > 10
    left = set(found.left)
    kept_train = [text for text in train if text in left]
    both = kept_train + test
    across = [pair for pair in pairs_alike(both, 0.6) if pair[0] < len(kept_train) <= pair[1]]
    assert len(across) <= 0.05 * (found.found.removed == Reason.NEAR_LATER_PART).sum()


def pairs_alike(texts: list[str], threshold: float) -> list[tuple[int, int]]:
    """All pairs of that similarity, by the shingles that they share."""
    sets = []
    for text in texts:
        words = re.sub(r"[^\w]|_", " ", text.upper().lower()).split()
        sets.append({tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))} if words else set())
    having = defaultdict(list)
    for row, shingles in enumerate(sets):
        for shingle in shingles:
            having[shingle].append(row)
    shared = Counter(pair for rows in having.values() for pair in combinations(rows, 2))
    return [
        (one, other) for (one, other), common in shared.items() if common / len(sets[one] | sets[other]) >= threshold
    ]

"""Texts that say nearly the same: found, kept together, whatever shards they are in."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pytest

from services.preprocess.duplicates import Reason
from services.preprocess.duplicates.minhash import bands_and_rows
from tests.preprocess.duplicates.conftest import Decide
from tests.preprocess.duplicates.planting import Planted, plant
from tidemill.contracts.preparation import NearDuplicates

LONG = "the quick brown fox jumps over the lazy dog while the slow cat sleeps in the warm sun all day long"
NEARLY = LONG.replace("warm", "hot")
KEEP = NearDuplicates(within="keep")


@pytest.mark.parametrize("threshold", [0.5, 0.8])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_planted_near_duplicates_are_found_and_nothing_else(decide: Decide, language: str, threshold: float) -> None:
    planted = plant(language, texts=3000, seed=5)
    group = decide(planted.texts, near=NearDuplicates(threshold=threshold, within="keep")).found.group

    alike = [pair for pair in planted.pairs_of_one_origin() if planted.jaccard(*pair) >= threshold]
    found = sum(group[left] == group[right] for left, right in alike)
    assert len(alike) > 500
    assert found / len(alike) >= 0.95

    said = said_to_be_alike(group)
    right = sum(planted.origin[one] == planted.origin[other] for one, other in said)
    assert right / len(said) >= 0.99
    assert all(is_connected(members, planted, threshold) for members in clusters(group))


def test_the_same_clusters_whatever_the_shards_and_row_groups(decide: Decide) -> None:
    texts = plant("en", texts=800, seed=9).texts
    near = NearDuplicates(threshold=0.6, within="drop")
    whole = decide(texts, near=near).found
    for shard_rows, row_group in ((100, 1000), (333, 50)):
        shards = decide(texts, near=near, shard_rows=shard_rows, row_group=row_group).found
        assert np.array_equal(whole.removed, shards.removed)
        assert np.array_equal(whole.group, shards.group)
        assert whole.pairs == shards.pairs


def test_the_first_of_a_cluster_stays_and_the_report_shows_how_alike_the_others_are(decide: Decide) -> None:
    found = decide(["something else entirely", LONG, NEARLY], near=NearDuplicates(threshold=0.6, within="drop"))
    assert found.removed(Reason.NEAR_DUPLICATE) == [NEARLY]
    (pair,) = found.found.pairs
    words = LONG.split()
    shingles = len(words) - 2
    assert (pair.row, pair.kept) == (2, 1)
    assert pair.similarity == pytest.approx((shingles - 3) / (shingles + 3))


def test_kept_near_duplicates_are_one_group_for_the_splitter(decide: Decide) -> None:
    found = decide([LONG, "something else entirely", NEARLY], near=NearDuplicates(threshold=0.6, within="keep"))
    assert len(found.left) == 3
    assert found.together(0, 2)
    assert not found.together(0, 1)


def test_rows_that_resemble_a_later_given_part_go_from_the_earlier_one(decide: Decide) -> None:
    other, nearly_other = LONG.replace("the", "some"), NEARLY.replace("the", "some")
    parts = {"train": [NEARLY, nearly_other, "alone"], "validation": [other], "test": [LONG]}
    found = decide(parts, near=NearDuplicates(threshold=0.6, within="drop"))
    assert found.removed(Reason.NEAR_LATER_PART) == [NEARLY, nearly_other]
    assert found.left == ["alone", other, LONG]
    assert [(pair.row, pair.kept) for pair in found.found.pairs] == [(0, 4), (1, 3)]


def test_with_across_keep_parts_may_resemble_each_other(decide: Decide) -> None:
    near = NearDuplicates(threshold=0.6, within="drop", across="keep")
    found = decide({"train": [NEARLY, LONG], "test": [LONG.upper() + "!"]}, near=near, drop_duplicates=False)
    assert found.removed(Reason.NEAR_DUPLICATE) == [LONG]
    assert not found.together(0, 2)


@pytest.mark.parametrize(
    ("text", "other", "alike"),
    [
        ("Yes.", "yes", True),
        ("yes", "no", False),
        ("see you", "see you!", True),
        ("see you", "see me", False),
        ("好的", "好的。", True),
        ("好的", "好吧", False),
        ("?!", "...", False),
        ("", "", False),
    ],
)
def test_texts_shorter_than_a_shingle_are_compared_for_equality(
    decide: Decide, text: str, other: str, alike: bool
) -> None:
    found = decide([(text, "a"), (other, "b")], near=KEEP, drop_duplicates=False)
    assert found.together(0, 1) is (alike or text == other)


def test_a_text_that_is_missing_resembles_nothing(decide: Decide) -> None:
    found = decide([None, "?!", LONG], near=NearDuplicates())
    assert len(found.left) == 3


def test_ten_thousand_texts_of_one_template_are_not_compared_all_with_all(decide: Decide) -> None:
    template = "dear customer your order number {} has been sent today and will arrive at your door by {} next week"
    days = ["monday", "tuesday", "friday"]
    texts = [template.format(number, days[number % 3]) for number in range(10_000)]
    found = decide(texts, near=NearDuplicates(threshold=0.3, within="drop"), row_group=5000)
    assert found.left == texts[:1]


def test_many_unlike_texts_with_much_in_common_are_all_kept(decide: Decide) -> None:
    words = ["we", "are", "sorry", "to", "hear", "that", "and", "will", "look", "into", "it"]
    texts = [" ".join([*words, *(f"{place}x{number}" for place in range(8))]) for number in range(3000)]
    assert len(decide(texts, near=NearDuplicates(threshold=0.8, within="drop")).left) == 3000


def test_bands_are_chosen_so_that_few_pairs_at_the_threshold_are_missed() -> None:
    for threshold in (0.5, 0.7, 0.8, 0.9):
        bands, rows = bands_and_rows(threshold, 128)
        assert bands * rows <= 128
        assert 1 - (1 - threshold**rows) ** bands > 0.96
    assert bands_and_rows(1.0, 128) == (1, 128)


def clusters(group: np.ndarray) -> list[list[int]]:
    members = defaultdict(list)
    for row, first in enumerate(group.tolist()):
        members[first].append(row)
    return list(members.values())


def said_to_be_alike(group: np.ndarray) -> list[tuple[int, int]]:
    return [pair for members in clusters(group) for pair in combinations(members, 2)]


def is_connected(members: list[int], planted: Planted, threshold: float) -> bool:
    """Whether every row is reached from the first by pairs that are truly alike."""
    reached, waiting = {members[0]}, [members[0]]
    while waiting:
        row = waiting.pop()
        news = {other for other in members if other not in reached and planted.jaccard(row, other) >= threshold}
        reached |= news
        waiting.extend(news)
    return Counter(members) == Counter(reached)

"""Examples that occurred before, contradictions, and what parts must not share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.preprocess.duplicates import KeyFiles, Reason, rows_in_later_parts
from services.preprocess.duplicates.groups import equal_rows, roots, unite
from tests.preprocess.duplicates.conftest import Decide
from tidemill.errors import CorruptArtifact


def test_of_equal_examples_the_first_stays(decide: Decide) -> None:
    found = decide([("hello", "ham"), ("win", "spam"), ("hello", "ham"), ("hello", "ham")])
    assert found.left == [("hello", "ham"), ("win", "spam")]
    assert [(pair.row, pair.kept) for pair in found.found.pairs] == [(2, 0), (3, 0)]


def test_a_text_with_two_labels_goes_wherever_it_stands(decide: Decide) -> None:
    found = decide([("hello", "ham"), ("win", "spam"), ("hello", "spam"), ("hello", "ham")])
    assert found.left == [("win", "spam")]
    assert (found.found.removed == Reason.CONTRADICTION).sum() == 3
    assert [(pair.row, pair.kept) for pair in found.found.pairs] == [(0, 2), (2, 0), (3, 2)]


def test_the_parts_of_a_dataset_are_looked_at_one_by_one(decide: Decide) -> None:
    found = decide({"train": [("a", "x"), ("b", "x")], "test": [("a", "y"), ("c", "x"), ("c", "x")]})
    assert found.removed(Reason.CONTRADICTION) == []
    assert found.removed(Reason.DUPLICATE) == [("c", "x")]


def test_what_a_later_given_part_has_too_goes_whatever_its_case(decide: Decide) -> None:
    parts = {"train": ["Straße frei", "Only  Here", "both"], "validation": ["BOTH", "mine"], "test": ["STRASSE FREI"]}
    found = decide(parts)
    assert found.removed(Reason.IN_LATER_PART) == ["Straße frei", "both"]
    assert found.left == ["Only  Here", "BOTH", "mine", "STRASSE FREI"]
    assert [(pair.row, pair.kept) for pair in found.found.pairs] == [(0, 5), (2, 3)]


def test_a_contradiction_in_the_test_part_does_not_take_training_rows_with_it(decide: Decide) -> None:
    found = decide({"train": [("a", "x")], "test": [("a", "x"), ("a", "y"), ("b", "x")]})
    assert found.left == [("a", "x"), ("b", "x")]
    assert found.found.removed.tolist() == [0, Reason.CONTRADICTION, Reason.CONTRADICTION, 0]


def test_duplicates_that_may_stay_are_one_group(decide: Decide) -> None:
    found = decide(["same", "other", "SAME"], drop_duplicates=False)
    assert len(found.left) == 3
    assert found.together(0, 2)
    assert not found.together(0, 1)


def test_missing_and_empty_texts_are_not_the_same(decide: Decide) -> None:
    assert len(decide([None, "", " x"]).left) == 3


def test_only_a_few_pairs_are_kept_for_the_report(decide: Decide) -> None:
    found = decide(["again"] * 50)
    assert (found.found.removed == Reason.DUPLICATE).sum() == 49
    assert [pair.row for pair in found.found.pairs] == [1, 2, 3, 4, 5]


def test_parts_cut_afterwards_are_kept_apart_by_their_groups() -> None:
    part = np.array([0, 1, 2, 0, 1, 0], np.int8)
    group = np.array([0, 1, 0, 1, 1, 5])
    staying = np.array([True, True, True, True, True, True])
    assert rows_in_later_parts(part, group, staying).tolist() == [True, False, False, True, False, False]
    staying[2] = False
    assert rows_in_later_parts(part, group, staying).tolist() == [False, False, False, True, False, False]


def test_keys_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "00003.parquet"
    broken.write_bytes(b"no parquet")
    with pytest.raises(CorruptArtifact, match=r"00003\.parquet"):
        KeyFiles([broken])


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 2**63]), st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=40
    )
)
def test_rows_are_equal_when_both_halves_of_their_key_and_their_part_are(
    rows: list[tuple[int, int, int, bool]],
) -> None:
    high, low = (np.array([row[half] for row in rows], np.uint64) for half in (0, 1))
    part, among = np.array([row[2] for row in rows], np.int8), np.array([row[3] for row in rows], np.bool_)
    first: dict[tuple[int, int, int], int] = {}
    expected = [first.setdefault(row[:3], number) if row[3] else number for number, row in enumerate(rows)]
    assert equal_rows(lambda half: (high, low)[half], among, part).tolist() == expected


@given(st.integers(1, 30).flatmap(lambda n: st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))))
def test_united_rows_have_the_first_row_of_all_that_are_connected(pairs: list[tuple[int, int]]) -> None:
    group = np.arange(30)
    unite(group, np.array([a for a, _ in pairs], np.int64), np.array([b for _, b in pairs], np.int64))
    expected = list(range(30))
    for a, b in pairs:
        low, high = sorted((expected[a], expected[b]))
        expected = [low if own == high else own for own in expected]
    assert roots(group, np.arange(30)).tolist() == expected

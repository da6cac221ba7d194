"""Labels that mean one thing are written in one way."""

from __future__ import annotations

import pytest

from services.preprocess.rules.labels import one_spelling


@pytest.mark.parametrize(
    ("counts", "spelling"),
    [
        ({"train": {"<=50K": 3, ">50K": 2}, "test": {"<=50K.": 3, ">50K.": 1}}, {"<=50K.": "<=50K", ">50K.": ">50K"}),
        ({"data": {"etc.": 3, "other": 1}}, {}),
        ({"data": {"no.": 1, "no": 4}}, {"no.": "no"}),
        ({"train": {"ham": 9, "spam": 2}, "test": {"Ham": 4, "SPAM": 1}}, {"Ham": "ham", "SPAM": "spam"}),
        ({"data": {"A": 5, "a": 5}}, {}),
        ({"train": {"A": 5, "a": 5}, "test": {"a": 1}}, {}),
        ({"validation": {"Yes": 9}, "test": {"yes": 2}}, {"yes": "Yes"}),
        ({"train": {"垃圾 ": 1}, "test": {"垃圾": 1}}, {}),
        ({"train": {"Yes": 1}, "test": {"yes.": 1, "yes": 2}}, {"yes.": "Yes", "yes": "Yes"}),
    ],
)
def test_what_counts_as_one_label(counts, spelling) -> None:
    assert one_spelling(counts) == spelling


def test_dotted_labels_of_the_test_part_are_unified_and_counted(prepare) -> None:
    counts = {"train": {"<=50K": 2, ">50K": 1}, "test": {"<=50K.": 1}}
    rows = {"y": [" <=50K", "<=50K.", ">50K", " <=50K."]}
    outcome = prepare(rows, kinds={"y": "category"}, roles={"label": "y"}, labels=counts)
    assert outcome["y"] == ["<=50K", "<=50K", ">50K", "<=50K"]
    assert "unify labels" in outcome.steps


def test_without_counts_labels_are_normalised_alone(prepare) -> None:
    outcome = prepare({"y": ["a\u3000b", "a b", "a b."]}, kinds={"y": "category"}, roles={"label": "y"})
    assert outcome["y"] == ["a b", "a b", "a b."]
    assert "unify labels" not in outcome.steps


def test_labels_that_are_numbers_become_text(prepare) -> None:
    assert prepare({"y": [1.0, 2.5, 10.0]}, roles={"label": "y"})["y"] == ["1", "2.5", "10"]
    assert prepare({"y": [True, False]}, kinds={"y": "boolean"}, roles={"label": "y"})["y"] == ["true", "false"]
    assert prepare({"y": [0, 7]}, kinds={"y": "integer"}, roles={"label": "y"})["y"] == ["0", "7"]

"""Preprocess cleans: what goes, what stays, what the report says."""

from __future__ import annotations

import pytest

from tests.preprocess.conftest import contents
from tidemill.errors import InvalidInput

ROWS = [(f"text number {number}", "even" if number % 2 == 0 else "odd") for number in range(20)]


def test_what_is_removed_is_reported(prepare) -> None:
    rows = [
        *ROWS,
        ("  ", "even"),
        (None, "odd"),
        ("no label", ""),
        ("text  number 1", "odd"),
        ("both ways", "odd"),
        ("both\tways", "even"),
    ]
    prepared = prepare(rows)
    assert prepared.removed() == {"drop empty rows": 3, "drop contradictions": 2, "drop duplicates": 1}
    assert prepared.statistics["source"] == {"data": 26}
    assert prepared.statistics["prepared"] == prepared.result.parts
    both = [
        {"part": "data", "row": 25, "text": "both ways", "label": "odd"},
        {"part": "data", "row": 26, "text": "both ways", "label": "even"},
    ]
    assert prepared.step("drop contradictions")["examples"] == both
    pairs = [pair for pair in prepared.statistics["pairs"] if pair["reason"] == "drop contradictions"]
    assert [(pair["row"], pair["of"]) for pair in pairs] == [(both[0], both[1]), (both[1], both[0])]
    assert sum(prepared.result.parts.values()) == 20


def test_the_recipe_can_keep_texts_and_duplicates_as_they_are(prepare) -> None:
    rows = [*ROWS, ("  kept  as it is ", "odd"), ("text number 1", "odd")]
    prepared = prepare(rows, normalize=False, drop_duplicates=False)
    texts = [text for part in ("train", "validation", "test") for text in prepared.texts(part)]
    assert sorted(texts) == sorted(text for text, _ in rows)


def test_labels_may_be_numbers(prepare) -> None:
    prepared = prepare([(text, len(label) - 3) for text, label in ROWS])
    assert prepared.result.labels == ["0", "1"]


def test_rows_can_be_followed_to_their_source(prepare) -> None:
    prepared = prepare(ROWS)
    for part in ("train", "validation", "test"):
        assert all(ROWS[row["row"] - 1] == (row["text"], row["label"]) for row in prepared.rows(part))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([(" ", "a"), (" ", "b")], "no row is left after cleaning"),
        ([("same", "a"), ("same", "a"), ("other", "a")], "only the label 'a' is left"),
        (
            [*ROWS, ("alone", "rare")],
            "at least 3 different texts, to be in every part; class 'rare' has 1 row (row 21)",
        ),
        ([*ROWS, ("one", "rare"), ("two", "rare")], "class 'rare' has 2 rows (rows 21, 22)"),
        (
            [*ROWS, *((way, "rare") for way in ("Word", "word", "WORD"))],
            "has 3 rows (rows 21, 22, 23) of 1 different texts",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(prepare, rows: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        prepare(rows)
    assert says in str(error.value)


def test_labels_that_are_personal_data_are_named_nowhere(prepare, tmp_path) -> None:
    key = tmp_path / "key"
    key.write_text("a key of thirty-two characters..")
    people = ["Alice Jones", "Bob Smith"]
    train = [(f"text {number}", people[number % 2]) for number in range(60)]
    test = [(f"other {number}", f"{people[number % 2]}.") for number in range(20)]
    rule = {"columns": {"kind": "hash"}, "key": f"file:{key}"}
    prepared = prepare({"train": train, "test": test}, privacy=rule)
    assert len(prepared.result.labels) == 2
    assert "unify labels" in {step["name"] for step in prepared.statistics["steps"]}
    described = {name: data for name, data in contents(prepared.folder).items() if name.endswith(".json")}
    assert not [name for name, data in described.items() if b"Alice" in data]

"""Preprocess cuts without leakage, the same way everywhere."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.preprocess.parts import PARTS
from services.preprocess.split import assign_parts
from services.preprocess.stage import preprocess_stage
from tidemill.contracts import ArtifactRef, DatasetIngested, Recipe, ResourceUsage
from tidemill.contracts.data import Data
from tidemill.contracts.preparation import Split
from tidemill.errors import InvalidInput
from tidemill.stage.definition import JobResult

SHARES = {"test": 0.2, "validation": 0.1}
ROWS = [(f"文本 number {number}", ("yes", "no", "maybe")[number % 3]) for number in range(120)]


def parts_of(rows: list[tuple[str, str]], seed: int = 17) -> dict[str, str]:
    texts, labels = zip(*rows, strict=True)
    return dict(zip(texts, assign_parts(texts, labels, range(len(rows)), SHARES, seed=seed), strict=True))


def test_the_split_does_not_depend_on_the_order_of_rows() -> None:
    shuffled = random.Random(3).sample(ROWS, len(ROWS))
    assert parts_of(ROWS) == parts_of(shuffled)
    assert parts_of(ROWS) != parts_of(ROWS, seed=18)


def test_the_split_is_the_same_on_every_machine() -> None:
    # Golden: a change here is a change of every prepared dataset, and needs a new REVISION of the stage.
    assert sorted(text for text, part in parts_of(ROWS[:18]).items() if part == "test") == [
        "文本 number 12", "文本 number 13", "文本 number 17",
    ]  # fmt: skip


def test_every_class_has_its_share_of_every_part(prepare) -> None:
    rows = ROWS + [(f"rare {number}", "rare") for number in range(3)]
    prepared = prepare(rows)
    counted = {part: Counter(row["label"] for row in prepared.rows(part)) for part in PARTS}
    assert counted["test"] == {"yes": 8, "no": 8, "maybe": 8, "rare": 1}
    assert counted["validation"] == {"yes": 4, "no": 4, "maybe": 4, "rare": 1}
    assert prepared.report["warnings"] == ["classes are very uneven: 'rare' has 1 training rows, 'maybe' has 28"]


def test_one_more_row_moves_few_others() -> None:
    before, after = parts_of(ROWS), parts_of([*ROWS, ("one more", "yes")])
    assert sum(before[text] != after[text] for text, _ in ROWS) <= 2


examples = st.lists(
    st.tuples(st.text(st.sampled_from("aAbB ß你\u3000"), min_size=1, max_size=5), st.sampled_from(["x", "y"])),
    max_size=60,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=examples, given_parts=st.booleans(), clean=st.booleans())
def test_no_text_is_in_two_parts(prepare, rows: list[tuple[str, str]], given_parts: bool, clean: bool) -> None:
    enough = [(f"{label}{number}", label) for label in ("x", "y") for number in range(6)]
    half = len(rows) // 2
    parts = {"train": [*enough, *rows[:half]], "test": [*enough[::5], *rows[half:]]} if given_parts else enough + rows
    prepared = prepare(parts, normalize=clean, drop_duplicates=clean)
    seen = {part: {" ".join(text.split()).casefold() for text in prepared.texts(part)} for part in PARTS}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]
    for part in PARTS:
        assert {row["label"] for row in prepared.rows(part)} == {"x", "y"}


def test_given_parts_are_kept_and_training_gives_way(prepare) -> None:
    train = [*ROWS, ("In Test TOO", "yes"), ("in validation too", "no")]
    validation = [("in validation too", "no"), ("valid", "yes"), ("in test and validation", "maybe")]
    test = [("in test too", "yes"), ("in test and validation", "maybe"), ("tested", "no")]
    prepared = prepare({"train": train, "validation": validation, "test": test})
    assert prepared.result.parts == {"train": 120, "validation": 2, "test": 3}
    assert prepared.removed() == {"keep parts apart": 3}
    assert prepared.report["warnings"] == ["the validation part has no row of 1 of 3 labels: 'maybe'"]


def test_validation_is_cut_from_the_given_training_part(prepare) -> None:
    prepared = prepare({"train": ROWS, "test": [(f"new {text}", label) for text, label in ROWS[:30]]})
    assert prepared.result.parts == {"train": 108, "validation": 12, "test": 30}
    assert prepared.report["split"]["source_parts"] == {"train": "train", "validation": "train", "test": "test"}


def test_a_label_that_training_lacks_is_named(prepare) -> None:
    with pytest.raises(InvalidInput, match=r"test part, row 2: label 'new' does not occur in the training part"):
        prepare({"train": ROWS, "test": [("a", "yes"), ("b", "new")]})


def test_a_class_of_one_row_cannot_be_validated(prepare) -> None:
    with pytest.raises(InvalidInput, match=r"at least 2 different texts.*class 'rare' has 1 row \(row 121\)"):
        prepare({"train": [*ROWS, ("one", "rare")], "test": [("a", "yes"), ("b", "rare")]})


def test_the_same_dataset_gives_the_same_bytes(prepare) -> None:
    first = {path.name: path.read_bytes() for path in prepare(ROWS).folder.iterdir()}
    assert first == {path.name: path.read_bytes() for path in prepare(ROWS).folder.iterdir()}
    assert set(first) == {
        "train.parquet", "validation.parquet", "test.parquet", "labels.json", "report.json", "report.html",
    }  # fmt: skip


def test_the_stage_takes_only_its_part_of_the_recipe_and_announces_the_parts() -> None:
    def ref(kind: Any, digit: str) -> ArtifactRef:
        return ArtifactRef(digest=f"sha256:{digit * 64}", kind=kind, size_bytes=1)

    stage = preprocess_stage()
    event = DatasetIngested(
        run_id="r1", name="reviews", recipe=ref("recipe", "1"), source=ref("source", "2"), dataset=ref("dataset", "3"),
        task="text-classification", rows=9, parts={"data": 9},
    )  # fmt: skip
    recipe = Recipe(task="text-classification", data=Data(text="body", label="kind", split=Split(seed=5)))
    (job,) = stage.plan(event, recipe)
    assert job.inputs == {"dataset": event.dataset}
    slower = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": 9})})
    assert stage.plan(event, slower) == [job]
    result = stage.result(parts={"train": 5, "validation": 2, "test": 2}, labels=["a", "b"])
    done = JobResult(result, {"dataset": ref("dataset", "4")}, ResourceUsage(), cached=False)
    announced = stage.join(event, recipe, [done])
    assert (announced.ingested, announced.dataset) == (event.dataset, ref("dataset", "4"))
    assert (announced.parts, announced.labels, announced.recipe) == (result.parts, ["a", "b"], event.recipe)

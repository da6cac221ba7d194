"""Preprocess cuts without leakage, the same way everywhere."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.preprocess.splits import PARTS, Rows, cut
from services.preprocess.splits.units import ranks
from services.preprocess.stage import preprocess_stage
from tests.preprocess.conftest import contents
from tidemill.contracts import ArtifactRef, DatasetIngested, Recipe, ResourceUsage
from tidemill.contracts.data import Data
from tidemill.contracts.preparation import Split
from tidemill.errors import InvalidInput
from tidemill.stage.definition import JobResult

ROWS = [(f"文本 number {number}", ("yes", "no", "maybe")[number % 3]) for number in range(120)]


def parts_of(rows: list[tuple[str, str]], **split: Any) -> dict[str, str]:
    """The part of each text, of texts that are all different."""
    labels = sorted({label for _, label in rows})
    keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text, _ in rows]
    done = cut(
        Rows(
            part=np.zeros(len(rows), np.int8),
            stay=np.ones(len(rows), np.bool_),
            group=np.arange(len(rows)),
            rank=ranks(
                *(np.array([int.from_bytes(key[at : at + 8]) for key in keys], np.uint64) for at in (0, 8)),
                seed=split.get("seed", 17),
            ),
            numbers=lambda chosen: chosen + 1,
            labels=np.array([labels.index(label) for _, label in rows]),
            names=labels,
        ),
        Split(**split),
        ["data"],
    )
    return {text: PARTS[part] for (text, _), part in zip(rows, done.part, strict=True)}


def test_the_split_does_not_depend_on_the_order_of_rows() -> None:
    shuffled = random.Random(3).sample(ROWS, len(ROWS))
    assert parts_of(ROWS) == parts_of(shuffled)
    assert parts_of(ROWS) != parts_of(ROWS, seed=18)


def test_the_split_is_the_same_on_every_machine(prepare) -> None:
    # Golden: a change here is a change of every prepared dataset, and needs a new REVISION of the stage.
    assert sorted(prepare(ROWS[:18]).texts("test")) == ["文本 number 12", "文本 number 7", "文本 number 8"]


def test_every_class_has_its_share_of_every_part(prepare) -> None:
    rows = ROWS + [(f"rare {number}", "rare") for number in range(3)]
    prepared = prepare(rows)
    counted = {part: Counter(row["label"] for row in prepared.rows(part)) for part in PARTS}
    assert counted["test"] == {"yes": 8, "no": 8, "maybe": 8, "rare": 1}
    assert counted["validation"] == {"yes": 4, "no": 4, "maybe": 4, "rare": 1}
    assert prepared.statistics["warnings"] == ["classes are very uneven: 'rare' has 1 training rows, 'yes' has 28"]


def test_one_more_row_moves_few_others() -> None:
    before, after = parts_of(ROWS), parts_of([*ROWS, ("one more", "yes")])
    assert sum(before[text] != after[text] for text, _ in ROWS) <= 2


examples = st.lists(
    st.tuples(st.text(st.sampled_from("aAbB ß你\u3000"), min_size=1, max_size=5), st.sampled_from(["x", "y"])),
    max_size=60,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    pair = prepared.statistics["pairs"][0]
    assert pair["reason"] == "keep parts apart"
    assert pair["row"] == {"part": "train", "row": 121, "text": "In Test TOO", "label": "yes"}
    assert pair["of"] == {"part": "test", "row": 1, "text": "in test too", "label": "yes"}
    assert prepared.statistics["warnings"] == ["the validation part has no row of 1 of 3 labels: 'maybe'"]


def test_validation_is_cut_from_the_given_training_part(prepare) -> None:
    prepared = prepare({"train": ROWS, "test": [(f"new {text}", label) for text, label in ROWS[:30]]})
    assert prepared.result.parts == {"train": 108, "validation": 12, "test": 30}
    assert prepared.statistics["source_parts"] == {"train": "train", "validation": "train", "test": "test"}


def test_a_label_that_training_lacks_is_named(prepare) -> None:
    with pytest.raises(InvalidInput, match=r"test part, row 2: label 'new' does not occur in the training part"):
        prepare({"train": ROWS, "test": [("a", "yes"), ("b", "new")]})


def test_a_class_of_one_row_cannot_be_validated(prepare) -> None:
    with pytest.raises(InvalidInput, match=r"at least 2 different texts.*class 'rare' has 1 row \(row 121\)"):
        prepare({"train": [*ROWS, ("one", "rare")], "test": [("a", "yes"), ("b", "rare")]})


def test_a_group_is_never_in_two_parts(prepare_table) -> None:
    authors = [f"author {number % 40}" for number in range(400)]
    texts = [f"text {number}" for number in range(400)]
    texts[7] = texts[12]  # the same text by two authors, so that both are in one part
    table = pa.table({"body": texts, "kind": ["yes", "no"] * 200, "author": authors})
    prepared = prepare_table(
        table, "text-classification", {"text": "body", "label": "kind"}, split={"method": "group", "group": "author"},
        drop_duplicates=False,
    )  # fmt: skip
    seen = {part: {authors[row["row"] - 1] for row in prepared.rows(part)} for part in PARTS}
    assert sum(map(len, seen.values())) == 40
    assert any({"author 7", "author 12"} <= found for found in seen.values())
    assert 60 <= prepared.result.parts["test"] <= 100
    assert 30 <= prepared.result.parts["validation"] <= 60


@pytest.mark.parametrize("times", [range(200), [f"2026-{1 + n // 28:02d}-{1 + n % 28:02d}" for n in range(200)]])
def test_the_latest_rows_are_tested_on(prepare_table, times) -> None:
    order = random.Random(5).sample(range(200), 200)
    table = pa.table(
        {"body": [f"text {number}" for number in order], "kind": ["a", "b"] * 100, "when": [times[n] for n in order]}
    )
    roles = {"text": "body", "label": "kind"}
    prepared = prepare_table(table, "text-classification", roles, split={"method": "time", "time": "when"})
    numbers = {part: sorted(int(text.split()[1]) for text in prepared.texts(part)) for part in PARTS}
    assert numbers == {"train": [*range(140)], "validation": [*range(140, 160)], "test": [*range(160, 200)]}


def test_a_time_that_is_none_is_refused(prepare_table) -> None:
    table = pa.table({"body": ["a", "b"], "kind": ["x", "y"], "when": ["today", "tomorrow"]})
    with pytest.raises(InvalidInput, match=r"column 'when', which has values that are neither dates .* nor numbers"):
        prepare_table(
            table, "text-classification", {"text": "body", "label": "kind"}, split={"method": "time", "time": "when"}
        )


def test_parts_are_drawn_at_random_for_a_task_without_classes(prepare_table) -> None:
    table = pa.table({"x": list(range(300)), "y": [n / 7 for n in range(300)]})
    prepared = prepare_table(table, "tabular-regression", {"label": "y"})
    assert prepared.result.parts == {"train": 210, "validation": 30, "test": 60}
    assert prepared.result.labels == []
    assert sorted(row["x"] for part in PARTS for row in prepared.rows(part)) == [*range(300)]


def test_folds_are_even_and_keep_groups_together(prepare_table) -> None:
    table = pa.table(
        {
            "body": [f"text {number}" for number in range(300)],
            "kind": [("a", "b", "c")[number % 3] for number in range(300)],
            "author": [f"author {number // 6}" for number in range(300)],
        }
    )
    roles = {"text": "body", "label": "kind"}
    stratified = prepare_table(table, "text-classification", roles, split={"folds": 5})
    rows = [row for part in ("train", "validation") for row in stratified.rows(part)]
    assert all("fold" not in row for row in stratified.rows("test"))
    counted = Counter((row["fold"], row["label"]) for row in rows)
    assert {fold for fold, _ in counted} == {1, 2, 3, 4, 5}
    assert max(counted.values()) - min(counted.values()) <= 1
    grouped = prepare_table(
        table, "text-classification", roles, split={"method": "group", "group": "author", "folds": 4}
    )
    folds = {(row["row"] - 1) // 6: row["fold"] for part in ("train", "validation") for row in grouped.rows(part)}
    assert all(
        folds[(row["row"] - 1) // 6] == row["fold"] for part in ("train", "validation") for row in grouped.rows(part)
    )


def test_near_duplicates_are_in_one_part(prepare) -> None:
    rows = []
    for number in range(60):
        words = [f"w{number}x{place}" for place in range(40)]
        rows.append((" ".join(words), ("yes", "no")[number % 2]))
        rows.append((" ".join([*words, "more"]), ("yes", "no")[number % 2]))
    prepared = prepare(rows, near_duplicates={"threshold": 0.8, "within": "keep"})
    part_of = {row["row"]: part for part in PARTS for row in prepared.rows(part)}
    assert len(part_of) == 120
    assert all(part_of[2 * number + 1] == part_of[2 * number + 2] for number in range(60))
    assert prepared.statistics["split"]["kept_together"] == 120


def test_the_same_dataset_gives_the_same_bytes(prepare) -> None:
    first = contents(prepare(ROWS).folder)
    assert first == contents(prepare(ROWS).folder)
    assert set(first) == {
        "train/00000.parquet", "validation/00000.parquet", "test/00000.parquet", "schema.json", "labels.json",
        "features.json", "statistics.json",
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
    assert stage.follow is not None
    (report,) = stage.follow(event, recipe, [[done]])
    assert report.inputs == {"dataset": event.dataset, "prepared": done.artifacts["dataset"]}
    reported = JobResult(stage.result(), {"report": ref("report", "5")}, ResourceUsage(), cached=False)
    assert stage.follow(event, recipe, [[done], [reported]]) == []
    announced = stage.join(event, recipe, [done, reported])
    assert announced.report == ref("report", "5")
    assert (announced.ingested, announced.dataset) == (event.dataset, ref("dataset", "4"))
    assert (announced.parts, announced.labels, announced.recipe) == (result.parts, ["a", "b"], event.recipe)

"""What is fitted is fitted on the training part, and balance touches that part alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from services.preprocess.splits import PARTS
from tidemill.errors import InvalidInput

ROWS = 400
FITTED = {
    "missing": {"columns": {"age": "median", "city": "mode"}},
    "outliers": {"method": "iqr", "action": "clip"},
    "features": {"scale": "standard", "categories": "onehot"},
}


def people(extreme: set[int] = frozenset()) -> pa.Table:  # type: ignore[assignment]
    """A table of people; rows of which the number, from 1, is ``extreme`` have values beyond all others."""
    numbers = range(1, ROWS + 1)
    return pa.table(
        {
            "id": [str(number) for number in numbers],
            "age": [1e9 if n in extreme else None if n % 17 == 0 else 20.0 + n % 50 for n in numbers],
            "city": ["Atlantis" if n in extreme else ("Basel", "Bern", "上海")[n % 3] for n in numbers],
            "rich": [("no", "yes", "no")[n % 3] for n in numbers],
        }
    )


def test_nothing_of_validation_or_test_reaches_what_is_fitted(prepare_table) -> None:
    # The test and validation parts are known by their rows, which extreme values do not move: the id alone is hashed.
    split = {"method": "group", "group": "id"}
    tame = prepare_table(people(), "tabular-classification", {"label": "rich"}, split=split, **FITTED)
    outside = {row["row"] for part in ("validation", "test") for row in tame.rows(part)}
    given = {part: people().take(pa.array([row["row"] - 1 for row in tame.rows(part)])) for part in PARTS}
    poisoned = people(outside)
    wild = {part: poisoned.take(pa.array([row["row"] - 1 for row in tame.rows(part)])) for part in PARTS}
    before = prepare_table(given, "tabular-classification", {"label": "rich"}, **FITTED)
    fitted, train = before.json("features.json"), before.rows("train")
    assert all(step["fitted"] for step in fitted["steps"])
    after = prepare_table(wild, "tabular-classification", {"label": "rich"}, **FITTED)
    assert after.json("features.json") == fitted
    assert after.rows("train") == train
    inside = people({row["row"] for row in tame.rows("train")[::20]})
    shifted = given | {"train": inside.take(pa.array([row["row"] - 1 for row in tame.rows("train")]))}
    changed = prepare_table(shifted, "tabular-classification", {"label": "rich"}, **FITTED)
    assert changed.json("features.json") != fitted


def test_scaled_training_columns_have_no_mean_and_unit_deviation(prepare_table) -> None:
    prepared = prepare_table(
        people(), "tabular-classification", {"label": "rich"}, features={"scale": "standard"},
        missing={"columns": {"age": "median"}},
    )  # fmt: skip
    ages = [row["age"] for row in prepared.rows("train")]
    assert sum(ages) / len(ages) == pytest.approx(0, abs=1e-9)
    assert sum(age**2 for age in ages) / len(ages) == pytest.approx(1)
    columns = {column["name"] for column in prepared.json("schema.json")["columns"]}
    assert columns == {"id", "age", "city", "rich", "row"}


def test_rows_that_a_fitted_step_drops_are_counted_with_examples(prepare_table) -> None:
    prepared = prepare_table(
        people({5, 77}), "tabular-classification", {"label": "rich"},
        outliers={"method": "iqr", "action": "drop", "columns": ["age"]},
    )  # fmt: skip
    kept = {row["row"] for part in PARTS for row in prepared.rows(part)}
    assert not kept & {5, 77}
    (step,) = [step for step in prepared.statistics["steps"] if step["removed"]]
    assert step["removed"] == 2
    assert [example["row"] for example in step["examples"]] == [5, 77]


@pytest.mark.parametrize(
    ("balance", "counts"),
    [
        ({"method": "undersample"}, {"yes": 30, "no": 30}),
        ({"method": "undersample", "max_ratio": 2}, {"yes": 30, "no": 60}),
        ({"method": "oversample"}, {"yes": 300, "no": 300}),
        ({"method": "oversample", "max_ratio": 4}, {"yes": 75, "no": 300}),
    ],
)
def test_the_training_part_is_balanced_and_no_other(prepare, balance: Any, counts: dict[str, int]) -> None:
    rows = {
        "train": [(f"text {number}", "yes" if number % 11 == 0 else "no") for number in range(330)],
        "validation": [(f"valid {number}", "no" if number else "yes") for number in range(20)],
        "test": [(f"test {number}", "no" if number else "yes") for number in range(20)],
    }
    prepared = prepare(rows, balance=balance)
    assert Counter(row["label"] for row in prepared.rows("train")) == counts
    assert (prepared.result.parts["validation"], prepared.result.parts["test"]) == (20, 20)
    numbers = [row["row"] for row in prepared.rows("train")]
    assert numbers == sorted(numbers)
    most = Counter(numbers).most_common()
    assert most[0][1] - min(n for number, n in most if (number - 1) % 11 == 0) <= 1 or "over" not in balance["method"]


def test_a_task_without_classes_cannot_be_balanced(prepare_table) -> None:
    table = pa.table({"x": [float(n) for n in range(50)], "y": [n / 3 for n in range(50)]})
    with pytest.raises(InvalidInput, match=r"data\.balance evens out classes, and tabular-regression has none"):
        prepare_table(table, "tabular-regression", {"label": "y"}, balance={"method": "oversample"})


def test_more_texts_are_training_texts_beside_their_own(prepare) -> None:
    rows = [(f"one two three four five {number}", ("yes", "no")[number % 2]) for number in range(100)]
    plain, more = prepare(rows), None
    train = plain.rows("train")
    others = {part: plain.rows(part) for part in ("validation", "test")}
    more = prepare(rows, augment={"text": {"copies": 2}})
    assert [row["row"] for row in more.rows("train")] == [row["row"] for row in train for _ in range(3)]
    assert more.rows("train")[::3] == train
    assert {part: more.rows(part) for part in others} == others
    assert more.statistics["tokens"]["texts"] == len(train)


def test_no_changed_copy_says_what_a_text_of_another_part_says(prepare) -> None:
    pairs = [(f"left{n} right{n}", f"Right{n} left{n}") for n in range(100)]
    rows = [(text, ("yes", "no")[n % 2]) for n, pair in enumerate(pairs) for text in pair]
    prepared = prepare(rows, augment={"text": {"copies": 2, "delete": 0, "swap": 1}})
    held_out = {text.lower() for part in ("validation", "test") for text in prepared.texts(part)}
    train = [text.lower() for text in prepared.texts("train")]
    assert not held_out & set(train)
    counts = prepared.step("augment texts")["counts"]
    assert counts["copies"] + len(plain_rows := {row["row"] for row in prepared.rows("train")}) == len(train)
    left_out = counts["copies left out: a text of validation or test says the same"]
    assert left_out == 2 * len(plain_rows) - counts["copies"] > 0


def test_a_hook_that_nobody_allowed_is_refused(prepare) -> None:
    rows = [(f"text {number}", ("yes", "no")[number % 2]) for number in range(50)]
    with pytest.raises(InvalidInput, match=r"house:translate is not allowed here"):
        prepare(rows, augment={"text": {"back_translation": "house:translate"}})

"""Every task's dataset is prepared: the columns stay its own, and what is the same content never is in two parts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from services.preprocess.splits import PARTS
from tests.preprocess.conftest import prepare_folder
from tidemill.errors import InvalidInput

N = 60


def _boxes() -> pa.Array:
    kind = pa.list_(pa.struct([("label", pa.string()), ("box", pa.list_(pa.float64()))]))
    return pa.array([[{"label": "cell", "box": [1.0, 1.0, 5.0, 5.0]}] for _ in range(N)], kind)


def _answers() -> pa.Array:
    kind = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))])
    return pa.array([{"text": [f"答案{n}"], "answer_start": [2]} for n in range(N)], kind)


def _pixels() -> pa.Array:
    return pa.array([bytes([n % 256, n // 256]) * 30 for n in range(N)], pa.binary())


TASKS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "tabular-regression": ({"x": [float(n) for n in range(N)], "y": [n * 2.0 for n in range(N)]}, {"label": "y"}),
    "image-classification": (
        {"image": _pixels(), "label": ["a", "b"] * (N // 2)}, {"image": "image", "label": "label"},
    ),
    "translation": (
        {"en": [f"sentence {n}" for n in range(N)], "zh": [f"句子{n}" for n in range(N)]},
        {"source": "en", "target": "zh"},
    ),
    "question-answering": (
        {
            "context": [f"这是答案{n}。" for n in range(N)], "question": [f"什么{n}？" for n in range(N)],
            "answers": _answers(),
        },
        {"context": "context", "question": "question", "answers": "answers"},
    ),
    "language-modelling": ({"text": [f"line {n} of a book" for n in range(N)]}, {"text": "text"}),
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_a_dataset_is_prepared(prepare_table, task: str) -> None:
    columns, roles = TASKS[task]
    prepared = prepare_table(pa.table(columns), task, roles)
    assert sum(prepared.result.parts.values()) == N
    assert all(prepared.result.parts.values())
    rows = [row for part in PARTS for row in prepared.rows(part)]
    assert sorted(row["row"] for row in rows) == [*range(1, N + 1)]
    assert set(rows[0]) == {*columns, "row"}
    schema = prepared.json("schema.json")
    assert (schema["task"], schema["roles"]) == (task, roles)
    assert prepared.result.labels == (["a", "b"] if task == "image-classification" else [])


@pytest.mark.parametrize(
    ("task", "roles"),
    [
        ("translation", {"source": "s", "target": "t"}),
        ("question-answering", {"context": "s", "question": "t", "answers": "a"}),
    ],
)
def test_sources_and_contexts_that_resemble_each_other_are_in_one_part(prepare_table, task, roles) -> None:
    texts = [f"{' '.join(f'{pair}w{word}' for word in range(40))} {twin}" for pair in range(60) for twin in "ab"]
    others = [
        f"other words that stand beside the row {n}, as many of them as it takes to be like it" for n in range(120)
    ]
    table = pa.table({"s": texts, "t": others})
    if "answers" in roles:
        answers = [{"text": [text.split()[3]], "answer_start": [text.index(text.split()[3])]} for text in texts]
        table = table.append_column("a", pa.array(answers))
    prepared = prepare_table(table, task, roles)
    part = {row["row"]: part for part in PARTS for row in prepared.rows(part)}
    assert len(part) == 120
    assert all(part[n] == part[n + 1] for n in range(1, 121, 2))


def test_the_same_image_is_in_one_part(prepare_table) -> None:
    table = pa.table({"image": _pixels(), "label": ["a", "b"] * (N // 2)})
    twice = pa.concat_tables([table, table])
    roles = {"image": "image", "label": "label"}
    prepared = prepare_table(twice, "image-classification", roles, drop_duplicates=False)
    part_of = {row["row"]: part for part in PARTS for row in prepared.rows(part)}
    assert all(part_of[row] == part_of[row + N] for row in range(1, N + 1))
    assert prepare_table(twice, "image-classification", roles).result.parts["train"] == 42


def test_columns_that_have_our_names_get_others(prepare_table) -> None:
    table = pa.table(
        {"row": [float(n) for n in range(N)], "fold": [n % 3 for n in range(N)], "y": [n / 7 for n in range(N)]}
    )
    prepared = prepare_table(table, "tabular-regression", {"label": "y"}, split={"folds": 3})
    first = prepared.rows("train")[0]
    assert set(first) == {"row_", "fold_", "y", "row", "fold"}
    assert first["row_"] == first["row"] - 1
    assert "rename columns" in [step["name"] for step in prepared.statistics["steps"]]


def test_a_group_column_that_is_not_there_is_named(prepare_table) -> None:
    with pytest.raises(InvalidInput, match=r"data\.split\.group names the column 'autor'.*did you mean 'author'"):
        prepare_table(
            pa.table({"body": ["x", "y"], "kind": ["a", "b"], "author": ["p", "q"]}), "text-classification",
            {"text": "body", "label": "kind"}, split={"method": "group", "group": "autor"},
        )  # fmt: skip


def test_small_groups_of_people_are_suppressed(prepare_table, tmp_path) -> None:
    places = [f"town {n % 4}" if n else "hamlet" for n in range(200)]
    table = pa.table({"id": [f"p{n}" for n in range(200)], "place": places, "y": [n / 7 for n in range(200)]})
    prepare_table(table, "tabular-regression", {"label": "y"})
    rule = {"quasi_identifiers": ["place"], "k": 5, "action": "suppress"}
    prepared = prepare_folder(tmp_path, "tabular-regression", {}, {"anonymity": rule})
    assert prepared.removed() == {"suppress small groups": 1}
    assert prepared.step("suppress small groups")["examples"][0]["place"] == "hamlet"
    assert prepared.statistics["anonymity"]["k"] >= 5
    assert sum(prepared.result.parts.values()) == 199
    with pytest.raises(InvalidInput, match=r"privacy\.anonymity: 1 of 200 rows are in 1 classes"):
        prepare_folder(tmp_path, "tabular-regression", {}, {"anonymity": {**rule, "action": "fail"}})


@pytest.mark.parametrize("action", ["suppress", "report"])
def test_anonymity_is_that_of_the_rows_that_are_written(prepare_table, tmp_path, action: str) -> None:
    places, kinds = [f"town {n % 20}" for n in range(400)], ["rare" if n % 10 == 0 else "frequent" for n in range(400)]
    table = pa.table({"id": [f"p{n}" for n in range(400)], "place": places, "kind": kinds})
    prepare_table(table, "tabular-classification", {"label": "kind"})
    rule = {"quasi_identifiers": ["place"], "k": 5, "action": action}
    balance = {"balance": {"method": "undersample"}}
    prepared = prepare_folder(tmp_path, "tabular-classification", balance, {"anonymity": rule})
    written = Counter(row["place"] for part in PARTS for row in prepared.rows(part))
    assert prepared.statistics["anonymity"]["k"] == min(written.values())
    assert prepared.statistics["anonymity"]["rows"] == written.total()
    assert (min(written.values()) >= 5) == (action == "suppress")


def test_a_row_that_a_rule_refuses_is_named(prepare_table) -> None:
    train = pa.table({"x": ["1", "2", "many", "4"] * 20, "y": [float(n) for n in range(80)]})
    with pytest.raises(InvalidInput, match=r'^the train part, row 3: .*"?x'):
        prepare_table(
            {"train": train, "test": train.slice(0, 2)}, "tabular-regression", {"label": "y"},
            types={"columns": {"x": "integer"}, "on_bad_value": "fail"},
        )  # fmt: skip

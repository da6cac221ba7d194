"""What has the same key, and what has not."""

from __future__ import annotations

from typing import Any

import daft
import numpy as np
import pyarrow as pa
import pytest

from services.preprocess.duplicates import exact_keys, near_keys
from services.preprocess.duplicates.keys import CONTENT, EXAMPLE, LEAKAGE
from services.preprocess.duplicates.minhash import BANDS, TEXT, TOKENS
from services.preprocess.duplicates.shingles import shingle_sets, tokens
from tidemill.contracts.data import TASK_NAMES
from tidemill.contracts.preparation import NearDuplicates
from tidemill.datasets import Column
from tidemill.datasets.schema import ColumnKind

Key = tuple[str, str]


def keys_of(values: pa.Array, kind: ColumnKind, *, strings: bool = False) -> list[tuple[int, int]]:
    """The key of each value as the one column of a table."""
    columns = {"c": Column(name="c", kind=kind, strings=strings)}
    return keys_in(pa.table({"c": values}), columns, {}, "tabular-classification", EXAMPLE)


def keys_in(
    table: pa.Table, columns: dict[str, Column], roles: dict[str, str], task: str, key: Key, **options: Any
) -> list[tuple[int, int]]:
    expressions = exact_keys(columns, roles, task, **options)
    frame = daft.from_arrow(table).select(*[expression.alias(name) for name, expression in expressions.items()])
    found = frame.to_arrow()
    assert all(found[name].null_count == 0 and found[name].type == pa.uint64() for name in found.column_names)
    return list(zip(found[key[0]].to_pylist(), found[key[1]].to_pylist(), strict=True))


def texts(**values: list[str | None]) -> tuple[pa.Table, dict[str, Column]]:
    return pa.table(values), {name: Column(name=name, kind="text", strings=True) for name in values}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array(["", None, "a", "A", "a "]), "text"),
        (pa.array([b"", None, b"a", b"\x00"]), "image"),
        (pa.array([0, None, 2**64 - 1, 2**64 - 2], pa.uint64()), "integer"),
        (pa.array([0.0, None, 1.0, 0.1 + 0.2, 0.3]), "number"),
        (pa.array([True, False, None]), "boolean"),
        (pa.array([1, 2, None], pa.timestamp("us")), "date"),
        (pa.array([[], None, [1], [2], [1, 2], [None]]), "nested"),
        (pa.array([{"a": [1], "b": "x"}, {"a": [2], "b": "x"}, {"a": [1], "b": "y"}, None]), "nested"),
    ],
)
def test_different_values_have_different_keys(values: pa.Array, kind: ColumnKind) -> None:
    keys = keys_of(values, kind)
    assert len({a for a, _ in keys}) == len({b for _, b in keys}) == len(values)


def test_noughts_are_equal_and_not_a_number_is_missing() -> None:
    nought, negative, nan, missing = keys_of(pa.array([0.0, -0.0, float("nan"), None]), "number")
    assert nought == negative
    assert nan == missing != nought


def test_whole_numbers_have_the_same_key_in_any_width() -> None:
    assert keys_of(pa.array([7, None], pa.int8()), "integer") == keys_of(pa.array([7, None], pa.int64()), "integer")


def test_columns_do_not_run_into_each_other() -> None:
    table, columns = texts(one=["ab", "a", "ab", None, ""], two=["c", "bc", None, "ab", "abc"])
    assert len(set(keys_in(table, columns, {}, "tabular-classification", EXAMPLE))) == 5


def test_keys_are_the_same_on_every_machine_and_version() -> None:
    table, columns = texts(text=["Hello, wörld! 你好", None], label=["a", "b"])
    roles = {"text": "text", "label": "label"}
    assert keys_in(table, columns, roles, "text-classification", EXAMPLE) == EXAMPLE_KEYS
    frame = daft.from_arrow(table).select(*[key.alias(name) for name, key in near_keys("text", NEAR).items()])
    near = frame.to_arrow().to_pydict()
    assert [near[TEXT[0]][0], near[TEXT[1]][0], near[BANDS][0].hex(), near[TOKENS][0]] == NEAR_KEYS


def test_the_label_is_part_of_the_example_and_not_of_the_content() -> None:
    table, columns = texts(text=["a", "a", "a"], label=["x", "y", "x"])
    roles = {"text": "text", "label": "label"}
    example = keys_in(table, columns, roles, "text-classification", EXAMPLE)
    assert example[0] == example[2] != example[1]
    assert len(set(keys_in(table, columns, roles, "text-classification", CONTENT))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("Straße", "STRASSE"), ("ΣΟΦΟΣ", "σοφος"), ("caf\u00e9", "cafe\u0301"), (" a \t b\n", "a b"), ("a\u200bb", "ab")],
)
def test_texts_that_parts_must_not_share_are_equal_but_for_case_space_and_form(one: str, other: str) -> None:
    table, columns = texts(text=[one, other])
    keys = keys_in(table, columns, {"text": "text"}, "text-classification", LEAKAGE)
    assert keys[0] == keys[1]


def test_normalised_texts_differ_in_case_alone() -> None:
    table, columns = texts(text=["Grüße", "GRÜSSE", "grusse"])
    keys = keys_in(table, columns, {"text": "text"}, "text-classification", LEAKAGE, normalised=True)
    assert keys[0] == keys[1] != keys[2]


def test_parts_must_not_share_a_context_or_a_source() -> None:
    table, columns = texts(context=["c", "c", "d"], question=["p", "q", "p"])
    roles = {"context": "context", "question": "question"}
    assert len(set(keys_in(table, columns, roles, "question-answering", EXAMPLE))) == 3
    leakage = keys_in(table, columns, roles, "question-answering", LEAKAGE)
    assert leakage[0] == leakage[1] != leakage[2]
    table, columns = texts(en=["Hi", "hi", "no"], zh=["你好", "嗨", "你好"])
    leakage = keys_in(table, columns, {"source": "en", "target": "zh"}, "translation", LEAKAGE)
    assert leakage[0] == leakage[1] != leakage[2]


def test_an_image_is_known_by_its_bytes_and_its_label() -> None:
    table = pa.table({"image": [b"1", b"1", b"1"], "path": ["a", "b", "c"], "label": ["x", "x", "y"]})
    kinds: dict[str, ColumnKind] = {"image": "image", "path": "text", "label": "category"}
    columns = {name: Column(name=name, kind=kind) for name, kind in kinds.items()}
    keys = keys_in(table, columns, {"label": "label"}, "image-classification", EXAMPLE)
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_task_has_keys(task: str) -> None:
    names = ("text", "label", "source", "target", "question", "context")
    kinds: dict[str, ColumnKind] = dict.fromkeys(names, "text") | {"image": "image", "audio": "audio"}
    table = pa.table({name: [b"x" if name in ("image", "audio") else "x"] for name in kinds})
    columns = {name: Column(name=name, kind=kind) for name, kind in kinds.items()}
    assert len(keys_in(table, columns, {name: name for name in names}, task, EXAMPLE)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World! It's 9.5 km²", "hello world it s 9 5 km²"),
        ("iPhone手机好", "iphone 手 机 好"),
        ("東京タワー へ行く。", "東 京 タ ワ ー へ 行 く"),
        ("한국어 문장", "한국어 문장"),
        ("?! 😀", ""),
        (None, None),
    ],
)
def test_tokens_are_words_and_single_characters_of_scripts_without_spaces(
    text: str | None, expected: str | None
) -> None:
    frame = daft.from_pydict({"t": [text, "some text"]}).select(tokens(daft.col("t")).alias("t"))
    assert frame.to_pydict()["t"][0] == expected


def test_shingles_are_runs_of_tokens_each_counted_once() -> None:
    lengths = np.array([5, 0, 2, 3, 2], np.int64)
    hashes = np.array([1, 2, 1, 2, 1, 7, 8, 1, 2, 1, 1, 2], np.uint32)
    sizes, shingles = shingle_sets(lengths, hashes, 3)
    assert sizes.tolist() == [2, 0, 1, 1, 1]  # 1 2 1 twice and 2 1 2; nothing; 7 8; 1 2 1; 1 2
    assert shingles[3] in shingles[:2]
    assert len(set(shingles.tolist())) == 4


NEAR = NearDuplicates(permutations=16)
EXAMPLE_KEYS: list[tuple[int, int]] = [
    (13355262923223028410, 11445336593631273871),
    (18152973355939654801, 17546315011705447707),
]
NEAR_KEYS: list[Any] = [
    7400250743345641877,
    7246775409340238764,
    "167e87d6b3658008ef023e94fa370c3a94a201f7",
    [2505435221, 2784868084, 2338624747, 345526114],
]

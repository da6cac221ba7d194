"""Changed copies of texts, and the hooks that may make them."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.preprocess.change import ROW
from services.preprocess.rules import augment_texts, find_hook
from services.preprocess.rules.augmentation import changed
from services.preprocess.spec import PreprocessSpec, ShardInfo, decide_spec, map_spec, steps_of
from tidemill.contracts import parse_recipe
from tidemill.contracts.preparation import TextAugmentation
from tidemill.errors import InvalidInput

RULE = TextAugmentation()
TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "我们明天一起去北京吃烤鸭",
    "one",
    "a a a a",
    "I 喜欢 Python 编程",
]


def rows_of(texts: list[str | None], first: int = 1) -> pa.Table:
    numbers = pa.array(range(first, first + len(texts)), pa.int64())
    return pa.table(
        {"text": pa.array(texts, pa.large_string()), "label": [f"l{n}" for n in range(len(texts))], ROW: numbers}
    )


def test_every_text_gets_its_copies_with_its_label() -> None:
    copies = augment_texts(rows_of(TEXTS), TextAugmentation(copies=3), "text")
    assert copies["label"].to_pylist() == [f"l{number}" for number in range(5) for _ in range(3)]
    assert copies.schema == rows_of(TEXTS).schema
    for text, copy in zip([text for text in TEXTS for _ in range(3)], copies["text"].to_pylist(), strict=True):
        assert (copy != text) is (text != "one")


def test_copies_do_not_depend_on_how_rows_are_sharded() -> None:
    whole = augment_texts(rows_of(TEXTS), RULE, "text")["text"].to_pylist()
    parts = [augment_texts(rows_of(TEXTS[n : n + 1], n + 1), RULE, "text")["text"].to_pylist()[0] for n in range(5)]
    assert whole == parts
    assert augment_texts(rows_of(TEXTS), TextAugmentation(seed=18), "text")["text"].to_pylist() != whole


def test_equal_texts_in_two_rows_get_copies_of_their_own() -> None:
    copies = augment_texts(rows_of(TEXTS[:1] * 4), TextAugmentation(copies=2), "text")["text"].to_pylist()
    assert len(set(copies)) > 4


def test_swapping_alone_keeps_every_word_and_deleting_alone_keeps_their_order() -> None:
    swapped = changed(TEXTS[0], TextAugmentation(swap=0.3, delete=0), 1, 0)
    assert sorted(swapped.split()) == sorted(TEXTS[0].split())
    deleted = changed(TEXTS[0], TextAugmentation(swap=0, delete=0.3), 1, 0).split()
    words = iter(TEXTS[0].split())
    assert all(word in words for word in deleted)
    assert len(deleted) < 9


def test_chinese_is_changed_by_characters_and_words_never_grow_together() -> None:
    copy = changed(TEXTS[1], TextAugmentation(swap=0.2, delete=0), 1, 0)
    assert sorted(copy) == sorted(TEXTS[1])
    for number in range(50):
        copy = changed("I like 你 Python 好 programming", TextAugmentation(swap=1, delete=0), number, 0)
        assert not {"Ilike", "likePython", "Pythonlike", "IPython"} & set(copy.split())


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(["a", "b", "你", "好", "word"]), min_size=1, max_size=6).map(" ".join), st.integers(0, 99)
)
def test_a_copy_is_never_empty_and_differs_where_it_can(text: str, row: int) -> None:
    for rule in (RULE, TextAugmentation(swap=0, delete=0.9), TextAugmentation(swap=1, delete=0)):
        copy = changed(text, rule, row, 0)
        assert copy.strip()
        units = set(text.split())
        assert copy != text or len(text.split()) == 1 or (not rule.delete and len(units) == 1)


def test_rows_without_text_have_no_copies() -> None:
    assert augment_texts(rows_of([None, "a b"]), RULE, "text").num_rows == 1
    assert augment_texts(rows_of([]), RULE, "text").num_rows == 0
    assert augment_texts(rows_of([]), RULE, "text", lambda texts: texts).num_rows == 0


@pytest.fixture
def translators(monkeypatch: pytest.MonkeyPatch) -> str:
    module = types.ModuleType("the_operators_translators")
    module.good = lambda texts: [f"back {text}" for text in texts]
    module.lazy = lambda texts: texts
    module.short = lambda texts: texts[1:]
    module.odd = lambda texts: [None for _ in texts]
    module.broken = lambda texts: [texts[99] for _ in texts]
    module.constant = 3
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def test_the_first_copy_is_the_back_translation(translators: str) -> None:
    hook = find_hook(f"{translators}:good", {translators})
    copies = augment_texts(rows_of(TEXTS[:2]), TextAugmentation(copies=2), "text", hook)["text"].to_pylist()
    assert copies[0] == f"back {TEXTS[0]}"
    assert copies[2] == f"back {TEXTS[1]}"
    assert copies[1] not in (copies[0], TEXTS[0])


def test_a_back_translation_is_normalised_as_other_texts_are(translators: str) -> None:
    hook = find_hook(f"{translators}:good", {translators}, normalised=True)
    assert hook([" e\u0301  x\x00"]) == ["back é x"]


def test_the_code_of_a_hook_is_part_of_what_the_outcome_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "house_of_hooks"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = parse_recipe({"data": {"augment": {"text": {"back_translation": "house_of_hooks.de:translate"}}}})
    specs = []
    for code in ("a = 1", "a = 2"):
        (package / "de.py").write_text(code)
        specs.append(PreprocessSpec.of("text-classification", recipe))
    assert specs[0].hook != specs[1].hook
    assert specs[0].hook is not None
    shard = ShardInfo(part="data", number=0, first=1, rows=1)
    assert map_spec(specs[0], shard) == map_spec(specs[1], shard)
    assert decide_spec(specs[0], (shard,)) == decide_spec(specs[1], (shard,))
    assert steps_of(specs[0]) == steps_of(specs[1])


@pytest.mark.parametrize(
    "name", ["nowhere_at_all:f", "sys:f", "os.path.x:f", ":f", "", "the_operators_translators:good"]
)
def test_a_hook_without_a_file_has_no_fingerprint(translators: str, name: str) -> None:
    recipe = parse_recipe({"data": {"augment": {"text": {"back_translation": name}}}})
    assert PreprocessSpec.of("text-classification", recipe).hook is None


def test_a_back_translation_that_changes_nothing_is_none(translators: str) -> None:
    hook = find_hook(f"{translators}:lazy", {f"{translators}:lazy"})
    assert augment_texts(rows_of(TEXTS[:1]), RULE, "text", hook)["text"].to_pylist() == [changed(TEXTS[0], RULE, 1, 0)]


@pytest.mark.parametrize(
    ("function", "words"), [("short", "gave 1 values"), ("odd", "one text"), ("broken", "IndexError")]
)
def test_a_hook_that_fails_is_named(translators: str, function: str, words: str) -> None:
    hook = find_hook(f"{translators}:{function}", {translators})
    with pytest.raises(InvalidInput, match=f"{translators}:{function}.*{words}"):
        augment_texts(rows_of(TEXTS[:2]), RULE, "text", hook)


@pytest.mark.parametrize(
    ("name", "allowed", "words"),
    [
        ("os:system", set(), "is not allowed here.*TIDEMILL_PREPROCESS_ALLOWED_HOOKS"),
        ("os:system", {"os:path"}, "is not allowed here"),
        ("os", {"os"}, "module:function"),
        ("the_operators_translators:absent", {"the_operators_translators"}, "cannot be found"),
        ("no_such_module_at_all:f", {"no_such_module_at_all"}, "cannot be found"),
        ("the_operators_translators:constant", {"the_operators_translators"}, "is no function"),
    ],
)
def test_hooks_are_found_where_the_operator_allows_them(translators: str, name, allowed, words) -> None:
    with pytest.raises(InvalidInput, match=words):
        find_hook(name, allowed)

"""What people write as a recipe: defaults, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.contracts import Recipe, RecipeError, parse_recipe, valid_name


def test_no_recipe_is_the_default_one() -> None:
    assert parse_recipe(None) == parse_recipe({}) == Recipe()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"trainin": {}}, "'trainin' is not known; did you mean 'training'?"),
        ({"training": {"epoch": 3}}, "'training.epoch' is not known; did you mean 'epochs'?"),
        ({"model": {"from_scratch": {"layer": 1}}}, "did you mean 'layers'?"),
        ({"training": {"epochs": 0}}, "'training.epochs'"),
        ({"data": {"columns": ["a", "b"], "header": True}}, "either columns"),
        ({"data": {"columns": ["a", "a"]}}, "twice"),
        ({"promotion": {"minimum": {"acuracy": 0.9}}}, "did you mean 'accuracy'?"),
        ({"compression": {"candidates": ["onnx-int8", "onnx-int8"]}}, "twice"),
        ({"model": {"from_scratch": {"hidden_size": 30, "heads": 4}}}, "multiple of heads"),
        ({"data": {"split": {"group": "patient"}}}, "only looked at with method: group, and the method is stratified"),
        ({"data": {"split": {"method": "random", "time": "at"}}}, "only looked at with method: time"),
        ({"privacy": {"entities": {"email": "mask"}}}, "email, which nobody looks for"),
        ({"privacy": {"detect": "structural", "model": "a/b"}}, "person and address, which nobody looks for"),
        ({"privacy": {"columns": {"zip": {"treatment": "mask", "keep_characters": 3}}}}, "treatment: generalise"),
        ("epochs: 3", "mapping of sections"),
    ],
)
def test_what_is_wrong_is_named(document: Any, words: str) -> None:
    with pytest.raises(RecipeError) as refused:
        parse_recipe(document)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", ["reviews", "评论-2026", "v1.2_final", "_a", "a" * 100])
def test_names_of_any_script(name: str) -> None:
    assert valid_name(name) == name


@pytest.mark.parametrize("name", ["", "docs\n", "../up", "a/b", "-a", "a..b", "a" * 101, "a b"])
def test_names_that_could_be_taken_for_something_else(name: str) -> None:
    with pytest.raises(ValueError, match="not a usable name"):
        valid_name(name)

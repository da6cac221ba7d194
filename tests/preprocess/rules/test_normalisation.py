"""Texts are normalised as serving normalises requests, to the last character."""

from __future__ import annotations

import itertools
import sys
import unicodedata

import daft
import pyarrow as pa
import pytest
from daft import col
from hypothesis import given, settings
from hypothesis import strategies as st

from services.preprocess.rules.texts import STABLE, normalised
from tidemill.texts import normalize


def through_daft(texts: list[str | None]) -> list[str | None]:
    frame = daft.from_arrow(pa.table({"text": pa.array(texts, pa.string())}))
    return frame.select(normalised(col("text"))).to_pydict()["text"]


awkward = st.sampled_from(
    "  \t\n\r\x00\x07\x1c\x1f\x7f\x85\x9f\xa0\xad\u200b\u2028\u2060\ufeff\u3000e\u0301中가ᄀ각ΩÅﬁ"
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.text(), st.text(awkward), st.text(st.characters(max_codepoint=0x3FF))), min_size=20))
def test_the_expression_is_the_function_that_serving_uses(texts: list[str]) -> None:
    assert through_daft([*texts, None]) == [*map(normalize, texts), None]


@pytest.mark.full
def test_every_character_alone_and_between_others_is_normalised_as_in_serving() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    texts = [*every, *(f"a{character} {character}e" for character in every)]
    assert through_daft(texts) == [normalize(text) for text in texts]


def test_characters_that_are_called_stable_are() -> None:
    pairs = [unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1)]
    second = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and "<" not in pair[0]}
    second |= {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}  # vowels and finals of Hangul
    for code in itertools.chain.from_iterable(range(first, last + 1) for first, last in STABLE):
        character = chr(code)
        assert unicodedata.combining(character) == 0, hex(code)
        assert unicodedata.is_normalized("NFC", character), hex(code)
        assert character not in second, hex(code)
        assert code == 0x20 or normalize(character) == character, hex(code)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  two\n\n lines\t here ", "two lines here"),
        ("全角\u3000空格\u00a0和\u2003其他", "全角 空格 和 其他"),
        ("e\u0301te\u0301", "été"),
        ("nul\x00 bell\x07 c1\x9f", "nul bell c1"),
        ("zero\u200bwidth\ufeff soft\u00adhyphen", "zerowidth softhyphen"),
        ("👩\u200d🚀 stays", "👩\u200d🚀 stays"),
        ("line\u2028and\x85more", "line and more"),
    ],
)
def test_text_is_normalised(texts, text: str, expected: str) -> None:
    assert texts([text])["text"] == [expected]


def test_texts_stay_as_they_are_when_the_recipe_says_so(texts) -> None:
    outcome = texts(["  kept  as it is "], normalize=False)
    assert outcome["text"] == ["  kept  as it is "]
    assert "normalise text" not in outcome.steps

"""Figures about the words of texts."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from services.preprocess.rules import TokenStatistics, token_statistics


def words(text: str) -> dict[str, int]:
    statistics = TokenStatistics()
    statistics.update(pa.array([text]))
    assert sum(statistics.words.values()) == next(iter(statistics.lengths["words"]))
    return dict(statistics.words)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "Don't stop, l’homme! 'quoted' o'clock",
            {"don't": 1, "stop": 1, "l’homme": 1, "quoted": 1, "o'clock": 1},
        ),
        ("naïve NAÏVE e\u0301te\u0301", {"naïve": 2, "e\u0301te\u0301": 1}),
        ("我爱 Python3 编程", {"我": 1, "爱": 1, "python3": 1, "编": 1, "程": 1}),
        ("カナ한국어 слово", {"カ": 1, "ナ": 1, "한국어": 1, "слово": 1}),
        ("' '' ' x' 'y", {"x": 1, "y": 1}),
        ("… !!! 👍", {}),
        ("", {}),
    ],
)
def test_what_a_word_is(text: str, found: dict[str, int]) -> None:
    assert words(text) == found


def test_the_summary() -> None:
    summary = token_statistics(pa.array(["the cat sat", "the cat 是 cat", None, "a"]))
    assert summary["texts"] == 3
    assert summary["words"] == 8
    assert summary["vocabulary"] == 5
    assert summary["type_token_ratio"] == 0.625
    assert summary["most_frequent"] == [{"word": "cat", "count": 3}, {"word": "sat", "count": 1}]
    assert summary["non_ascii"] == pytest.approx(1 / 25, abs=1e-6)
    assert summary["words_per_text"]["0.5"] == 3
    assert list(summary["characters_per_text"].values()) == [1, 1, 1, 11, 13, 13, 13, 13]
    assert summary["tokens_per_text"]["1"] == 6


def test_shards_give_the_same_figures_as_one() -> None:
    texts = [f"word{number % 7} 中文 and {'x' * (number % 30)}" for number in range(200)]
    one = TokenStatistics()
    one.update(pa.array(texts))
    merged = TokenStatistics()
    for start in range(0, 200, 60):
        shard = TokenStatistics()
        shard.update(pa.chunked_array([texts[start : start + 60][:7], texts[start : start + 60][7:]]))
        merged.merge(TokenStatistics.from_state(json.loads(json.dumps(shard.state()))))
    assert json.dumps(merged.state()) == json.dumps(one.state())
    assert merged.summary() == one.summary()


def test_no_texts_have_no_words() -> None:
    for texts in (pa.array([], pa.string()), pa.array([None, None], pa.string())):
        assert token_statistics(texts)["texts"] == 0
        assert token_statistics(texts)["words_per_text"] == {}

"""Many texts at once are judged as py3langid judges each of them."""

from __future__ import annotations

import pytest

from services.preprocess.rules.identification import identifier, probability_of

TEXTS = [
    "I do not know", "Ich weiß es nicht", "SHOUTING IN ENGLISH", "", "123", "👍", "Я не знаю", "中文",
    "e\u0301te\u0301 à Paris", "a", "the the the the", "long " * 200,
]  # fmt: skip


@pytest.mark.parametrize("languages", [["en"], ["de", "fr"], ["ru", "sr", "zh"]])
def test_probabilities_are_those_of_the_library(languages: list[str]) -> None:
    ranked = [dict(identifier().rank(text)) for text in TEXTS]
    expected = [sum(probabilities[language] for language in languages) for probabilities in ranked]
    assert probability_of(languages, TEXTS) == pytest.approx(expected, abs=1e-4)


def test_a_text_is_judged_alike_in_any_company() -> None:
    alone = [probability_of(["en"], [text])[0] for text in TEXTS]
    assert list(probability_of(["en"], TEXTS)) == alone
    assert list(probability_of(["en"], TEXTS * 200)) == alone * 200
    assert len(probability_of(["en"], [])) == 0

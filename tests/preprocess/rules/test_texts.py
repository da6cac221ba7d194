"""Which texts are kept, and what goes from them: languages, case, stop words, length, empty ones."""

from __future__ import annotations

import pytest

from tidemill.errors import InvalidInput
from tidemill.texts.stop_words import LANGUAGES, all_stop_words, stop_words

EAST_ASIAN = {"zh": "我们明天去北京", "ja": "これは日本語の文です", "ko": "이것은 한국어 문장입니다"}
SPACED = {
    "en": "I do not know where he went yesterday evening",
    "de": "Ich weiß nicht, wohin er gestern Abend gegangen ist",
    "fr": "Je ne sais pas où il est allé hier soir",
    "es": "No sé a dónde fue ayer por la noche",
    "ru": "Я не знаю, куда он пошёл вчера вечером",
}


@pytest.mark.parametrize("kept", [["en"], ["zh"], ["ja"], ["ko"], ["de", "fr"], ["en", "zh"], ["es", "ru"]])
def test_texts_in_other_languages_go(texts, kept: list[str]) -> None:
    both = {**EAST_ASIAN, **SPACED}
    outcome = texts(list(both.values()), text_rules={"languages": kept})
    assert outcome["text"] == [text for language, text in both.items() if language in kept]
    assert outcome.removed.keys() == {"languages"}


def test_texts_without_evidence_of_a_language_stay(texts) -> None:
    short = ["ok", "123", "👍👍", "!!!", "Tom", "A1"]
    assert texts(short, text_rules={"languages": ["zh"]})["text"] == short
    assert texts(short, text_rules={"languages": ["de"]})["text"] == short


def test_an_english_name_does_not_make_a_chinese_text_english(texts) -> None:
    mixed = ["我用 iPhone 给 Tom 打了一个很长的电话"]
    assert texts(mixed, text_rules={"languages": ["zh"]})["text"] == mixed
    assert texts(mixed, text_rules={"languages": ["en"]})["text"] == []


def test_a_language_that_cannot_be_told_is_refused(texts) -> None:
    with pytest.raises(InvalidInput, match="'xx'"):
        texts(["a"], text_rules={"languages": ["en", "xx"]})


@pytest.mark.parametrize(
    ("languages", "text", "left"),
    [
        (["en"], "The cat is on the mat, isn't it?", "cat mat, ?"),
        (["en"], "It’s what we've seen: I can't", "seen:"),
        (["en"], "theory, online and island", "theory, online island"),
        (["de"], "Der Hund liegt über dem Teppich", "Hund liegt Teppich"),
        (["fr"], "L'homme est à la gare aujourd'hui", "homme gare aujourd'hui"),
        (["es"], "El gato está en la mesa", "gato mesa"),
        (["zh"], "我的书是在他们的目的地了", "书目的地"),
        (["zh"], "因为天气很好所以我们就出发吧", "天气好出发"),
        (["zh"], "了解社会的方法", "了解社会方法"),
        (["zh"], "這是我們的學校嗎", "學校"),
        (["en", "zh"], "The 价格 is 最高 的", "价格 高"),
    ],
)
def test_stop_words_go_in_any_case(texts, languages, text, left) -> None:
    assert texts([text], text_rules={"remove_stop_words": languages})["text"] == [left]


def test_a_text_of_stop_words_alone_is_empty_and_goes(texts) -> None:
    outcome = texts(["to be or not to be", "的了吗", "a word"], text_rules={"remove_stop_words": ["en", "zh"]})
    assert outcome["text"] == ["word"]
    assert outcome.removed == {"drop empty rows": [1, 2]}


def test_every_list_is_of_words_in_lower_case() -> None:
    assert {"en", "zh", "de", "fr", "es"} <= set(LANGUAGES)
    for language in LANGUAGES:
        assert all(word == word.lower().strip() and word for word in stop_words(language))
        assert len(stop_words(language)) > 90
    assert "的" in all_stop_words()


def test_a_language_without_a_list_is_refused(texts) -> None:
    with pytest.raises(InvalidInput, match=r"no list for 'ja'; there is one for de, en"):
        texts(["a"], text_rules={"remove_stop_words": ["ja"]})


def test_lower_case_in_every_script(texts) -> None:
    assert texts(["ÄÖ ΑΣ Привет 中文"], text_rules={"lowercase": True})["text"] == ["äö ας привет 中文"]


def test_texts_are_kept_by_their_length_in_characters_ends_included(texts) -> None:
    outcome = texts(
        ["ab", "abc", "一二三", "abcd", "一二三四五"], text_rules={"min_characters": 3, "max_characters": 4}
    )
    assert outcome["text"] == ["abc", "一二三", "abcd"]
    assert outcome.removed == {"text length": [1, 5]}


def test_rows_without_text_or_label_go(prepare) -> None:
    rows = {"t": ["a", " \u3000", None, "d", "e"], "y": ["x", "x", "x", "?", " "]}
    outcome = prepare(rows, kinds={"y": "category"}, task="text-classification", roles={"text": "t", "label": "y"})
    assert outcome["t"] == ["a"]
    assert outcome.removed == {"drop empty rows": [2, 3, 4, 5]}


def test_answers_stay_words_of_their_context(prepare) -> None:
    rows = {
        "q": ["Who?", "Where?"],
        "c": ["<p>ANNA\u00a0 B.</p> sang", "In  Rom"],
        "a": [{"text": ["ANNA\u00a0 B."], "answer_start": [3]}, None],
    }
    outcome = prepare(
        rows, kinds={"a": "nested"}, task="question-answering",
        roles={"question": "q", "context": "c", "answers": "a"},
        text_rules={"strip_html": True, "lowercase": True, "remove_stop_words": ["en"]},
    )  # fmt: skip
    assert outcome["c"] == ["anna b. sang", "in rom"]
    assert outcome["a"] == [{"text": ["anna b."], "answer_start": [0]}, None]

"""What the row steps do to the texts of a dataset, serving does to a request, to the last character."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import daft
import pyarrow as pa
import pytest
from daft import Expression, col
from daft import functions as fn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.preprocess.rules.characters import ALIKE, needs_python
from services.preprocess.rules.stopping import without_stop_words
from services.preprocess.rules.texts import lowered
from tidemill.contracts.data import Data
from tidemill.modelpack import Tokenization
from tidemill.tasks.text_classification.serving import TextEncoder
from tidemill.tasks.text_classification.vocabulary import learn_wordpiece
from tidemill.texts import StopWords, TextPreparation, preparer
from tidemill.texts.stop_words import LANGUAGES, SPACED, kept_words, stop_words

ALONE = Tokenization(max_length=512, pad_id=0, pad_token="[PAD]")

pieces = st.sampled_from([
    "<p>", "</p>", "<b>", "</B>", "<br/>", "<script>x</script>", "<!--", "-->", "<![CDATA[", "]]>", "&amp;", "&lt;",
    "&nbsp;", "&#20013;", "&", "<", ">", "The", "the", "THE", "is", "isn't", "ISN’T", "it's", "can", "I", "theory",
    "Card", "REFUND", "L'", "d’", "aujourd'hui", "Où", "über", "ÜBER", "Это", "И", "всё", "的", "了解", "目的地",
    "因", "为", "我们", "退款", "這", "北京", "。", "，", " ", "  ", "\t", "\n", "\u3000", "\xa0", "\u200b", "\u200d",
    "\ufe0f", "\u0301", "e\u0301", "İ", "ı", "ſ", "K", "Σ", "ΟΔΟΣ", "²", "½", "①", "_", "＿", "-", "'", "’", ".",
    "1", "❤", "👍", "ＡＢ",
])  # fmt: skip
written = st.lists(pieces, max_size=14).map("".join)
texts_of_all_kinds = st.lists(st.one_of(written, st.lists(pieces, max_size=8).map(" ".join), st.text()), min_size=10)
names = ("normalize", "strip_html", "lowercase", "remove_stop_words")
rules = [
    dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*[(False, True)] * 3, (None, ["zh", "en"]))
]


def through_daft(texts: list[str], *expressions: Expression) -> tuple[list[Any], ...]:
    frame = daft.from_arrow(pa.table({"text": pa.array(texts, pa.string())}))
    table = frame.select(*(one.alias(str(place)) for place, one in enumerate(expressions))).to_pydict()
    return tuple(table[str(place)] for place in range(len(expressions)))


@pytest.fixture(scope="module")
def tokenizer_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    learn_wordpiece(["the card refund THE Card Über это <p> &amp; ² ' - 退款 北京 我们 的"] * 5, 400).save(str(path))
    return path


@pytest.mark.parametrize("rule", rules, ids=lambda rule: "+".join(name for name, on in rule.items() if on) or "none")
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=texts_of_all_kinds)
def test_a_raw_request_is_encoded_as_its_prepared_row(
    texts: Callable[..., Any], tokenizer_json: Path, rule: dict[str, Any], raw: list[str]
) -> None:
    recipe = {"normalize": rule["normalize"], "text_rules": {name: rule[name] for name in names[1:]}}
    outcome = texts(raw, **recipe)
    gone = {row for rows in outcome.removed.values() for row in rows}
    asked = [text for row, text in enumerate(raw, 1) if row not in gone]

    preparation = TextPreparation.of(Data.model_validate(recipe))
    prepare = preparer(preparation)
    assert [prepare(text) for text in asked] == outcome["text"]
    assert not any(prepare(raw[row - 1]).strip() for row in gone), "only what is empty has no row"
    if asked:
        served = TextEncoder(tokenizer_json, ALONE.model_copy(update=dict(preparation)))(asked)
        trained = TextEncoder(tokenizer_json, ALONE)(outcome["text"])
        assert served["input_ids"].tolist() == trained["input_ids"].tolist()


@settings(max_examples=20, deadline=None)
@given(texts_of_all_kinds, st.lists(st.sampled_from(LANGUAGES), min_size=1, unique=True))
def test_the_expressions_are_the_functions_that_serving_uses(texts: list[str], languages: list[str]) -> None:
    lower, without = through_daft(texts, lowered(col("text")), without_stop_words(col("text"), languages))
    assert lower == [text.lower() for text in texts]
    assert without == [*map(StopWords(languages), texts)]


def test_every_stop_word_goes_in_both_whatever_is_around_it() -> None:
    for languages in ([language] for language in LANGUAGES):
        words = sorted(stop_words(languages[0]) | kept_words())
        around = ["{}", "{}s", "x{}", "- {} -", "{0} {0}", "{0}'s", "l'{}", "{}\u0301", "{}²", "a {} b"]
        texts = [form.format(word) for word in words for form in around]
        texts += [text.upper() for text in texts]
        (without,) = through_daft(texts, without_stop_words(col("text"), languages))
        assert without == [*map(StopWords(languages), texts)], languages


def test_characters_that_are_called_alike_are() -> None:
    every = [chr(code) for first, last in ALIKE for code in range(first, last + 1)]
    assert not any(through_daft(every, needs_python(col("text")))[0])
    letters = "".join(sorted({letter for language in SPACED for word in stop_words(language) for letter in word}))
    (one_of_them,) = through_daft(every, fn.regexp(col("text"), f"(?i)^[{letters}]$"))
    assert one_of_them == [re.search(rf"(?i)^[{letters}]\Z", character) is not None for character in every]
    texts = [form.format(character) for character in every for form in ("{}", "a{}", "{}à", "in{}in", "{} A")]
    assert through_daft(texts, fn.lower(col("text")))[0] == [text.lower() for text in texts]
    (without,) = through_daft(texts, without_stop_words(col("text"), ["en", "fr", "it"]))
    assert without == [*map(StopWords(["en", "fr", "it"]), texts)]


def test_nothing_of_the_rules_is_written_where_there_are_none() -> None:
    old = {"file": "tokenizer/tokenizer.json", "max_length": 512, "normalize": False, "pad_id": 0, "pad_token": "[PAD]"}
    assert ALONE.model_dump(mode="json") == old
    assert Tokenization.model_validate(old) == ALONE
    full = ALONE.model_copy(update={"strip_html": True, "lowercase": True, "stop_words": ("en", "zh")})
    assert Tokenization.model_validate(json.loads(full.model_dump_json())) == full

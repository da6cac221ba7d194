"""Texts without their stop words: what ``tidemill.texts.StopWords`` does to one, as Daft expressions."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

import pyarrow as pa
from daft import DataType, Expression, Series, col, func
from daft import functions as fn

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.rules.candidates import replaced
from services.preprocess.rules.characters import needs_python
from services.preprocess.rules.columns import Roles, listed
from tidemill.datasets import Column
from tidemill.errors import InvalidInput
from tidemill.texts import StopWords
from tidemill.texts.stop_words import CONTRACTED, ELIDED, LANGUAGES, SPACED, kept_words, stop_words


def remove_stop_words(languages: Sequence[str], roles: Roles, context: str | None = None) -> RowStep:
    """The task's texts without the stop words of the languages; the spaces around them become one.

    ``context``: a column that keeps them, because answers are words of it.

    Raises:
        InvalidInput: there is no list for a language.
    """
    unknown = [language for language in languages if language not in LANGUAGES]
    if unknown:
        raise InvalidInput(
            f"data.text_rules.remove_stop_words: there is no list for {unknown[0]!r}; there is one for "
            f"{', '.join(LANGUAGES)}"
        )

    def make(columns: Mapping[str, Column]) -> Change:
        values = {name: without_stop_words(col(name), languages) for name in roles.texts if name != context}
        return Change(values)

    return Step("remove stop words", f"stop words of {listed(languages)} removed from texts", make)


def without_stop_words(text: Expression, languages: Sequence[str]) -> Expression:
    """The text without them."""
    left, spaced = text, [language for language in languages if language in SPACED]
    if spaced:
        left = fn.regexp_replace(left, _spaced_pattern(spaced), "")
    if "zh" in languages:
        left = fn.regexp_replace(left, *_chinese_pattern())
    left = fn.regexp_replace(fn.regexp_replace(left, " {2,}", " "), "^ | $", "")
    # Chinese words have no case and no boundaries, and nothing to disagree about.
    return _without(left, text, needs_python(text), list(languages)) if spaced else left


def _spaced_pattern(languages: Sequence[str]) -> str:
    """Regular expression (Rust's) of a stop word of languages with spaces, in any case; longest first."""
    words = sorted(
        {word for language in languages for word in stop_words(language)}, key=lambda word: (-len(word), word)
    )
    alternatives = "|".join(re.escape(word).replace("'", "['’]") for word in words)
    elided = rf"\b{ELIDED}|" if {"fr", "it"} & set(languages) else ""
    return rf"(?i){elided}\b(?:{alternatives}){CONTRACTED if 'en' in languages else ''}\b"


def _chinese_pattern() -> tuple[str, str]:
    """Regular expression that finds words that go and words that stay, and the replacement that leaves the latter."""
    kept = kept_words()
    # The leftmost alternative wins: longest words first, and a group for those that stay.
    words = sorted(kept | stop_words("zh"), key=lambda word: (-len(word), word not in kept, word))
    groups = [(stays, "|".join(run)) for (_, stays), run in itertools.groupby(words, lambda w: (len(w), w in kept))]
    pattern = "|".join(f"({run})" if stays else f"(?:{run})" for stays, run in groups)
    return pattern, "".join(f"${{{number}}}" for number in range(1, 1 + sum(stays for stays, _ in groups)))


@func.batch(return_dtype=DataType.string(), use_process=False)
def _without(left: Series, text: Series, candidate: Series, languages: list[str]) -> pa.Array:
    return replaced(left, candidate, StopWords(languages), text)

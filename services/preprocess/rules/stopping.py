"""Texts without their stop words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daft import Expression, col
from daft import functions as fn

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.rules.columns import Roles, listed
from services.preprocess.rules.stop_words import LANGUAGES, SPACED, chinese_pattern, spaced_pattern
from tidemill.datasets import Column
from tidemill.errors import InvalidInput


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
    spaced = [language for language in languages if language in SPACED]
    if spaced:
        text = fn.regexp_replace(text, spaced_pattern(spaced), "")
    if "zh" in languages:
        text = fn.regexp_replace(text, *chinese_pattern())
    return fn.strip(fn.regexp_replace(text, " {2,}", " "))

"""All that is done to a text, and in which order. What removes rows, and personal data, is none of it."""

from __future__ import annotations

import operator
from collections.abc import Callable

from pydantic import Field

from tidemill.contracts import Frozen
from tidemill.contracts.data import Data
from tidemill.texts.html import strip_html
from tidemill.texts.normalization import normalize
from tidemill.texts.stopping import StopWords


class TextPreparation(Frozen):
    """What was done to every training text and is done to every request, in the order of the fields.

    Fields that came after ``normalize`` are written only when they say something, so that specs and packages without
    them keep their bytes.
    """

    strip_html: bool = Field(default=False, exclude_if=operator.not_)
    normalize: bool = False
    lowercase: bool = Field(default=False, exclude_if=operator.not_)
    stop_words: tuple[str, ...] = Field(default=(), exclude_if=operator.not_)
    """ISO 639-1 codes of the languages whose stop words go, sorted."""

    @classmethod
    def of(cls, data: Data) -> TextPreparation:
        """As the recipe has it."""
        rules = data.text_rules
        return cls(
            strip_html=rules.strip_html,
            normalize=data.normalize,
            lowercase=rules.lowercase,
            stop_words=tuple(sorted(set(rules.remove_stop_words or ()))),
        )


def preparer(preparation: TextPreparation) -> Callable[[str], str]:
    """The function of a text that ``preparation`` describes: the row steps of preprocess, for one text.

    Not idempotent (``&amp;lt;b&gt;`` has markup to strip twice), so a text that is prepared is not handed in again.

    Raises:
        InvalidInput: there are no stop words for one of the languages.
    """
    steps: list[Callable[[str], str]] = []
    if preparation.strip_html:
        steps.append(strip_html)
    if preparation.normalize:
        steps.append(normalize)
    if preparation.lowercase:
        steps.append(str.lower)
    if preparation.stop_words:
        steps.append(StopWords(preparation.stop_words))

    def prepare(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return prepare

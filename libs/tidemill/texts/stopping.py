"""A text without its stop words. Of which words those are, ``stop_words`` knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from tidemill.errors import InvalidInput
from tidemill.texts.stop_words import CONTRACTED, ELIDED, LANGUAGES, SPACED, kept_words, stop_words

# What a word does not end before: accents, joiners and variation selectors belong to the letter that they follow.
_OF_WORDS = r"\w\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u200c\u200d\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
_BEGIN, _END = rf"(?<![{_OF_WORDS}])", rf"(?![{_OF_WORDS}])"
_SPACES = re.compile(" {2,}")


class StopWords:
    """Takes the stop words of some languages out of a text, in any case; the spaces around them become one."""

    def __init__(self, languages: Sequence[str]) -> None:
        """Raise InvalidInput when there is no list for one of ``languages`` (ISO 639-1 codes)."""
        unknown = [language for language in languages if language not in LANGUAGES]
        if unknown:
            raise InvalidInput(
                f"there is no list of stop words for {unknown[0]!r}; there is one for {', '.join(LANGUAGES)}"
            )
        spaced = [language for language in languages if language in SPACED]
        self._spaced = _spaced(spaced) if spaced else None
        self._chinese = _chinese() if "zh" in languages else None
        self._kept = kept_words()

    def __call__(self, text: str) -> str:
        """The text without them."""
        if self._spaced is not None:
            text = self._spaced.sub("", text)
        if self._chinese is not None:
            text = self._chinese.sub(self._stays, text)
        return _SPACES.sub(" ", text).strip(" ")

    def _stays(self, found: re.Match[str]) -> str:
        return found[0] if found[0] in self._kept else ""


def _spaced(languages: Sequence[str]) -> re.Pattern[str]:
    words = {word for language in languages for word in stop_words(language)}
    contracted = CONTRACTED if "en" in languages else ""
    whole = rf"(?:{_tree(words).replace(chr(39), '[’' + chr(39) + ']')}){contracted}{_END}"
    elided = f"{ELIDED}|" if {"fr", "it"} & set(languages) else ""
    return re.compile(f"{_BEGIN}(?:{elided}{whole})", re.IGNORECASE)


def _chinese() -> re.Pattern[str]:
    return re.compile(_tree(kept_words() | stop_words("zh")))


def _tree(words: Iterable[str]) -> str:
    """A regular expression of the words that tries the longest first, and takes no longer when there are more of them.

    Alternatives would be tried one by one at every place; a tree of their letters parts at the first letter.
    """
    root: dict[str, Any] = {}
    for word in words:
        node = root
        for letter in (*word, ""):
            node = node.setdefault(letter, {})
    return _branches(root)


def _branches(node: dict[str, Any]) -> str:
    onward = [re.escape(letter) + _branches(below) for letter, below in sorted(node.items()) if letter]
    if not onward:
        return ""
    return f"(?:{'|'.join(onward)})" + ("?" if "" in node else "")

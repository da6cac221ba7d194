"""Words that say little by themselves: articles, pronouns, prepositions, conjunctions, auxiliaries, particles.

One file per language, one word per line, compiled for this project from the languages' closed word classes. Chinese has
a second one, ``zh_kept.txt``: common words that a function word is part of (目的, 了解, 社会), which stay whole.

Limits. Words are found by spelling alone: the noun *can* goes with the verb. Chinese is cut by the longest listed word
at each place, not by a segmenter: a function word within a word that is in neither file goes (more of a name than of
common words). Japanese and Korean have no list: their function words are endings rather than words.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from importlib.resources import files

SPACED = ("de", "en", "es", "fr", "it", "nl", "pt", "ru")
"""Languages with spaces between words that there is a list for."""
LANGUAGES = tuple(sorted((*SPACED, "zh")))

_ELIDED = "(?:[cdjlmnstv]|qu|jusqu|lorsqu|puisqu|[dnc]?[ae]ll|sull|un|quest|quell)['’]"
_CONTRACTED = "(?:['’](?:s|t|re|ve|ll|d|m))?"


@functools.cache
def stop_words(language: str) -> frozenset[str]:
    """The words of one language, in lower case."""
    return frozenset(_read(language))


@functools.cache
def all_stop_words() -> frozenset[str]:
    """The words of all languages."""
    return frozenset().union(*(stop_words(language) for language in LANGUAGES))


def spaced_pattern(languages: Sequence[str]) -> str:
    """Regular expression (Rust's) of a stop word of languages with spaces, in any case; longest first."""
    words = sorted(
        {word for language in languages for word in stop_words(language)}, key=lambda word: (-len(word), word)
    )
    alternatives = "|".join(re.escape(word).replace("'", "['’]") for word in words)
    elided = rf"\b{_ELIDED}|" if {"fr", "it"} & set(languages) else ""
    return rf"(?i){elided}\b(?:{alternatives}){_CONTRACTED if 'en' in languages else ''}\b"


def chinese_pattern() -> tuple[str, str]:
    """Regular expression that finds words that go and words that stay, and the replacement that leaves the latter."""
    kept = set(_read("zh_kept"))
    # The leftmost alternative wins: longest words first, and a group for those that stay.
    words = sorted(kept | stop_words("zh"), key=lambda word: (-len(word), word not in kept, word))
    groups = [(stays, "|".join(run)) for (_, stays), run in itertools.groupby(words, lambda w: (len(w), w in kept))]
    pattern = "|".join(f"({run})" if stays else f"(?:{run})" for stays, run in groups)
    return pattern, "".join(f"${{{number}}}" for number in range(1, 1 + sum(stays for stays, _ in groups)))


def _read(name: str) -> list[str]:
    return files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8").split()

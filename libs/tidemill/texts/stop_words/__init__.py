"""Words that say little by themselves: articles, pronouns, prepositions, conjunctions, auxiliaries, particles.

One file per language, one word per line, compiled for this project from the languages' closed word classes. Chinese has
a second one, ``zh_kept.txt``: common words that a function word is part of (目的, 了解, 社会), which stay whole.

Models are served with the lists that they were trained with, so a list that was released does not change.

Limits. Words are found by spelling alone: the noun *can* goes with the verb. Chinese is cut by the longest listed word
at each place, not by a segmenter: a function word within a word that is in neither file goes (more of a name than of
common words). Japanese and Korean have no list: their function words are endings rather than words.
"""

from __future__ import annotations

import functools
from importlib.resources import files

SPACED = ("de", "en", "es", "fr", "it", "nl", "pt", "ru")
"""Languages with spaces between words that there is a list for."""
LANGUAGES = tuple(sorted((*SPACED, "zh")))

ELIDED = "(?:[cdjlmnstv]|qu|jusqu|lorsqu|puisqu|[dnc]?[ae]ll|sull|un|quest|quell)['’]"
"""Regular expression of what French and Italian put before a vowel, in lower case."""
CONTRACTED = "(?:['’](?:s|t|re|ve|ll|d|m))?"
"""Regular expression of what English puts behind a word, in lower case."""


@functools.cache
def stop_words(language: str) -> frozenset[str]:
    """The words of one language, in lower case."""
    return _read(language)


@functools.cache
def kept_words() -> frozenset[str]:
    """Chinese words that stay whole."""
    return _read("zh_kept")


@functools.cache
def all_stop_words() -> frozenset[str]:
    """The words of all languages."""
    return frozenset().union(*(stop_words(language) for language in LANGUAGES))


def _read(name: str) -> frozenset[str]:
    return frozenset(files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8").split())

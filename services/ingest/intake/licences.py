"""Whether a recipe allows a dataset's licence. Compares SPDX identifiers and the usual names of the same licences.

Reads no licence text: a file LICENSE beside the data is named to a person, who says which licence it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from pathlib import Path

from tidemill.errors import InvalidInput

_GENERAL = re.compile(r"general public licen[cs]e")
_WORDS = re.compile(r"\b(the|licen[cs]e|version|international|universal|unported)\b")
_VERSION = re.compile(r"(\b|(?<=gpl))v(?=\d)")
_TEXT_FILE = re.compile(r"(?i)^(licen[cs]e|copying|unlicense|notice)([-.].*)?$")

_OPERATORS = re.compile(r"(\(|\)|\b(?:AND|OR)\b)")

_NAMES = {
    "apache-2": "apache-2.0",
    "apache2": "apache-2.0",
    "apache2.0": "apache-2.0",
    "asl-2.0": "apache-2.0",
    "apache-software-2.0": "apache-2.0",
    "expat": "mit",
    "bsd-3": "bsd-3-clause",
    "new-bsd": "bsd-3-clause",
    "modified-bsd": "bsd-3-clause",
    "bsd-2": "bsd-2-clause",
    "simplified-bsd": "bsd-2-clause",
    "cc0": "cc0-1.0",
    "cc-zero": "cc0-1.0",
    "cc-0": "cc0-1.0",
    "creative-commons-zero": "cc0-1.0",
    "pddl": "pddl-1.0",
    "odbl": "odbl-1.0",
    "open-data-commons-open-database": "odbl-1.0",
    "mpl-2": "mpl-2.0",
    "mozilla-2.0": "mpl-2.0",
}
"""SPDX identifiers, in lower case, of what people write instead."""
_LONG_FORMS = (
    (re.compile(r"^gnu-"), ""),
    (re.compile(r"^creative-commons-"), "cc-"),
    (re.compile(r"^cc(?=by)"), "cc-"),
    (re.compile(r"attribution"), "by"),
    (re.compile(r"non-?commercial"), "nc"),
    (re.compile(r"share-?alike"), "sa"),
    (re.compile(r"no-?deriv(ative)?s?(-works)?"), "nd"),
    (re.compile(r"^affero-gpl|^affero"), "agpl"),
    (re.compile(r"^lesser-gpl|^lesser"), "lgpl"),
    (re.compile(r"^(a|l)?gpl-?(?=\d)"), r"\1gpl-"),
    (re.compile(r"^((?:a|l)?gpl-\d)(?![.\d])"), r"\1.0"),
    (
        re.compile(r"^((?:a|l)?gpl-[\d.]+)-?\+$|^((?:a|l)?gpl-[\d.]+)-or-(?:any-)?later(?:-versions?)?$"),
        r"\1\2-or-later",
    ),
    (re.compile(r"-only$"), ""),
)
"""Turned one after the other into what SPDX says, in lower case; ``GPL-3.0`` and ``GPL-3.0-only`` are the same."""


def normal(licence: str) -> str:
    """``licence`` in the form in which two names of the same licence are equal."""
    words = _GENERAL.sub("gpl", licence.casefold().replace("_", "-"))
    words = _VERSION.sub(" ", _WORDS.sub(" ", words))
    name = re.sub(r"[\s,/()-]+", "-", words).strip("-.")
    for written, meant in _LONG_FORMS:
        name = written.sub(meant, name)
    return _NAMES.get(name, name)


def allowed(licence: str, among: Sequence[str]) -> bool:
    """Whether ``licence`` is one of ``among``; of ``MIT OR GPL-3.0`` one has to be, of ``MIT AND CC-BY-4.0`` both.
    An expression that is none is not allowed."""
    names = {normal(name) for name in among}
    if normal(licence) in names:
        return True
    words = [word.strip() for word in _OPERATORS.split(licence) if word.strip()]
    try:
        fits = _any_of(words, names)
    except (IndexError, RecursionError):
        return False
    return fits and not words


def _any_of(words: list[str], names: Set[str]) -> bool:
    """Whether the expression at the beginning of ``words``, which is taken from them, is fulfilled by ``names``.

    AND binds stronger than OR (SPDX 2.3, annex D).
    """
    fits = _all_of(words, names)
    while words and words[0].upper() == "OR":
        words.pop(0)
        fits = _all_of(words, names) or fits
    return fits


def _all_of(words: list[str], names: Set[str]) -> bool:
    fits = _one(words, names)
    while words and words[0].upper() == "AND":
        words.pop(0)
        fits = _one(words, names) and fits
    return fits


def _one(words: list[str], names: Set[str]) -> bool:
    word = words.pop(0)
    if word != "(":
        return normal(word) in names
    fits = _any_of(words, names)
    return words.pop(0) == ")" and fits


def check_licence(licence: str | None, among: Sequence[str] | None) -> None:
    """Refuse a dataset whose licence is not in the recipe's ``data.allowed_licences``; None allows any.

    Raises:
        InvalidInput: it has another licence, or none is known.
    """
    if among is None:
        return
    listed = ", ".join(among) or "none"
    if licence is None:
        raise InvalidInput(
            f"data.allowed_licences allows {listed}, but nobody says which licence the dataset has; set data.licence"
        )
    if not allowed(licence, among):
        raise InvalidInput(
            f"the dataset's licence {licence!r} is not one that data.allowed_licences allows ({listed}); use another "
            "dataset, or allow it there"
        )


def licence_files(folder: Path) -> list[str]:
    """Names of the files in ``folder`` that by their names hold a licence, sorted."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_file() and _TEXT_FILE.match(entry.name))

"""JSON documents without a value: in texts, in names of members, and in messages that are kept as base64."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from tidemill.erasure.subject import Matcher
from tidemill.erasure.texts import found_in

INSTEAD = "erased"
"""What stands in the value's place."""

_IDENTITIES = frozenset({"name", "project", "run_id", "digest", "fingerprint", "fingerprints", "alias", "id", "kind"})
"""Members that name something which other documents and keys refer to."""
_ENCODED = frozenset({"body"})
"""Members whose text is base64 of a message."""


def holds_value(document: Any, matcher: Matcher) -> bool:
    """Whether a document holds the value anywhere."""
    return bool(without_value(document, matcher, identities=False) != document)


def without_value(document: Any, matcher: Matcher, *, identities: bool = True, member: str = "") -> Any:
    """The document with ``INSTEAD`` in the value's place. With ``identities`` names stay as they are, since what they
    refer to could not be found any more."""
    if isinstance(document, dict):
        return {
            _text(name, matcher): without_value(inner, matcher, identities=identities, member=name)
            for name, inner in document.items()
        }
    if isinstance(document, list):
        return [without_value(inner, matcher, identities=identities, member=member) for inner in document]
    if isinstance(document, str):
        if identities and member in _IDENTITIES:
            return document
        return _message(document, matcher) if member in _ENCODED else _text(document, matcher)
    if isinstance(document, int) and not isinstance(document, bool) and matcher.of_digits:
        return 0 if matcher.found_in(str(document)) else document
    return document


def _text(text: str, matcher: Matcher) -> str:
    if matcher.found_in(text):
        return matcher.erased(text, INSTEAD)
    return INSTEAD if found_in(text, matcher) else text


def _message(text: str, matcher: Matcher) -> str:
    """A message in base64: JSON without the value, or nothing at all where it is none."""
    try:
        body = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return _text(text, matcher)
    if not found_in(body, matcher):
        return text
    try:
        cleaned = json.dumps(without_value(json.loads(body), matcher), ensure_ascii=False)
    except ValueError:
        cleaned = matcher.erased(body, INSTEAD)
    return base64.b64encode(cleaned.encode()).decode()

"""Text normalisation, defined once: what preprocess does to a dataset, serving does to a request.

Without the second half a model would be asked about texts unlike any that it was trained on.
"""

from __future__ import annotations

import re
import unicodedata

# Control characters, and characters without width that nobody means to write. Joiners (U+200C, U+200D) stay: emoji
# and several scripts need them.
_UNWANTED = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff]+")


def normalize(text: str) -> str:
    """Unicode NFC, control characters and invisible ones removed, runs of white space of any script one space."""
    if text.isascii() and text.isprintable() and "  " not in text:  # most English text: nothing to do but the ends
        return text.strip(" ")
    return unicodedata.normalize("NFC", " ".join(_UNWANTED.sub("", text).split()))

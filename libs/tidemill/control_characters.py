"""Text of strangers before it goes to a terminal or into a line of a log: what would steer either is spelled out."""

from __future__ import annotations

import re

_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""C0 and C1 controls, line and paragraph separators, and the marks that turn the direction of what follows."""


def spelled_out(text: str, *, keep: str = "") -> str:
    r"""``text`` with ``\x1b`` for an escape character, ``\n`` for a line end, and so on; what is in ``keep`` stays."""
    return _STEERING.sub(lambda found: found[0] if found[0] in keep else repr(found[0])[1:-1], text)

"""Text out of HTML, as browsers see it, however badly it is written.

Not a parser of documents: one pass over the text that finds comments, scripts, styles and tags, then the entities.
What only looks like a tag is text: ``1 < 2``, ``<3``, ``<name@example.org>``.
"""

from __future__ import annotations

import html
import re

# Tags of phrasing: their words belong to the text around them. Every other tag parts words.
_INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins",
    "kbd", "mark", "nobr", "q", "rb", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time",
    "tt", "u", "var", "wbr",
))  # fmt: skip
# A comment or script without an end reaches to the end of the text, as in a browser; a tag without one is a tag only
# when nothing or an attribute follows its name (``a <b and c`` is text). Possessive quantifiers keep it linear.
_MARKUP = re.compile(
    r"<!--(?:>|->|.*?(?:--!?>|\Z))"
    r"|<(?P<raw>script|style|noscript|template|iframe|noembed|xmp)(?=[\s/>]).*?(?:</(?P=raw)(?=[\s/>])[^>]*+(?:>|\Z)|\Z)"
    r"|<!\[CDATA\[(?P<data>.*?)(?:\]\]>|\Z)"
    r"|<[!?][^>]*+(?:>|\Z)"
    r"""|</?(?P<tag>[a-z][a-z0-9:-]*+)(?=[\s/>])(?:[^<>"']|"[^"<]*"|'[^'<]*')*+>"""
    r"|</?(?P<broken>[a-z][a-z0-9:-]*+)(?=[\s/>])(?:[^<>]*+>|(?:\s++[a-z:-]++\s*+=[^<>]*+|[\s/]*+)(?=<|\Z))",
    re.IGNORECASE | re.DOTALL,
)


def strip_html(text: str) -> str:
    """The text without tags, comments, scripts and styles, its entities as characters.

    White space is left to ``normalize``: a tag that parts words leaves a space.
    """
    return html.unescape(_MARKUP.sub(_replacement, text))


def _replacement(found: re.Match[str]) -> str:
    if found["data"] is not None:
        return html.escape(found["data"], quote=False)
    tag = found["tag"] or found["broken"]
    return "" if tag is not None and tag.lower() in _INLINE else " "

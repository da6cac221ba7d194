"""What happens to texts as a whole: normalisation as in serving, lower case, the length they may have."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from daft import DataType, Expression, Series, col, func, lit
from daft import functions as fn

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.rules.candidates import replaced
from services.preprocess.rules.characters import needs_python
from services.preprocess.rules.columns import Roles
from tidemill.contracts.preparation import TextRules
from tidemill.datasets import Column
from tidemill.texts import normalize

STABLE = (
    (0x0020, 0x007E), (0x00A1, 0x00AC), (0x00AE, 0x02FF), (0x0388, 0x0482), (0x048A, 0x0590), (0x0E01, 0x0E37),
    (0x1E00, 0x1EFF), (0x2010, 0x2027), (0x2030, 0x205E), (0x20A0, 0x20CF), (0x2190, 0x2328), (0x232B, 0x2ADB),
    (0x3001, 0x3029), (0x3030, 0x3098), (0x309B, 0x30FF), (0x3105, 0xA66E), (0xAC00, 0xD7A3), (0xFE30, 0xFE6F),
    (0xFF01, 0xFFEF), (0x1F300, 0x1FAFF),
)  # fmt: skip
"""Ranges of characters that ``normalize`` leaves as they are wherever they stand, but for spaces side by side."""

NOT_NORMAL = "[^" + "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in STABLE) + "]|^ | $|  "
"""Finds every text that ``normalize`` changes, and some that it does not."""


def normalised(text: Expression) -> Expression:
    """Every text as ``normalize`` leaves it, which is what serving does to a request."""
    return _normalised(text, fn.regexp(text, NOT_NORMAL))


def normalise_texts(roles: Roles) -> RowStep:
    """The task's texts, normalised."""

    def make(columns: Mapping[str, Column]) -> Change:
        values = {name: normalised(col(name)) for name in roles.texts if name in columns}
        return Change(values)

    return Step("normalise text", "Unicode NFC, control characters removed, white space collapsed", make)


def lowered(text: Expression) -> Expression:
    """Every text as ``str.lower`` leaves it, which is what serving does to a request."""
    return _lowered(fn.lower(text), text, needs_python(text))


def lowercase(roles: Roles) -> RowStep:
    """The task's texts in lower case."""

    def make(columns: Mapping[str, Column]) -> Change:
        values = {name: lowered(col(name)) for name in roles.texts if name in columns}
        return Change(values)

    return Step("lower case", "texts in lower case", make)


def text_length(rule: TextRules, roles: Roles) -> RowStep:
    """Rows go whose text is shorter or longer than it may be."""

    def make(columns: Mapping[str, Column]) -> Change:
        remove: Expression | None = None
        for name in roles.texts:
            length = fn.length(col(name))
            outside = length < lit(rule.min_characters)
            if rule.max_characters is not None:
                outside = outside | (length > lit(rule.max_characters))
            remove = outside if remove is None else remove | outside
        return Change(remove=remove)

    most = "any number of" if rule.max_characters is None else f"at most {rule.max_characters}"
    return Step("text length", f"texts of at least {rule.min_characters} and {most} characters are kept", make)


@func.batch(return_dtype=DataType.string(), use_process=False)
def _normalised(text: Series, candidate: Series) -> pa.Array:
    return replaced(text, candidate, normalize)


@func.batch(return_dtype=DataType.string(), use_process=False)
def _lowered(lower: Series, text: Series, candidate: Series) -> pa.Array:
    return replaced(lower, candidate, str.lower, text)

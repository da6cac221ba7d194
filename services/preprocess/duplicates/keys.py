"""Exact keys of rows: 128-bit hashes of what makes two rows the same, as Daft expressions. Knows no rows.

A key is two uint64 columns: XXH3 (64 bits, Yann Collet) of the same values with two seeds, chained over the columns.
Two different contents among n have the same key with a probability of about n² / 2¹²⁹ for each column: below 10⁻²⁴ for
four million rows of twenty columns. XXH3 is the same on every machine, and no defence against somebody who wants a
collision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daft import DataType, Expression, col, lit
from daft import functions as f

from tidemill.datasets import Column

EXAMPLE = ("__example_a", "__example_b")
"""The same example: content and label."""
CONTENT = ("__content_a", "__content_b")
"""The same content, whatever its label."""
LEAKAGE = ("__leakage_a", "__leakage_b")
"""What two parts must not share."""

_SEEDS = (0x7469_6465, 0x6D69_6C6C)
_MISSING = 0x6E6F_6E65
"""Stands for a missing value: Daft hashes null as it hashes the empty string."""
_UNWANTED = r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\x{ad}\x{200b}\x{2060}\x{feff}]+"
_ROLES = {
    "text-classification": ("text",),
    "language-modelling": ("text",),
    "translation": ("source", "target"),
    "question-answering": ("context", "question"),
}
_MEDIA = {"image-classification": "image", "object-detection": "image", "audio-classification": "audio"}
_LEAKING = {"translation": ("source",), "question-answering": ("context",)}


def one_label(task: str) -> bool:
    """Whether the same content with two labels is a contradiction.

    It is where people say what a text, an image or a sound is. It is not for rows of a table, which leave out much of
    what they are about, nor where a content has many right answers.
    """
    return task in ("text-classification", "image-classification", "audio-classification")


def exact_keys(
    columns: Mapping[str, Column], roles: Mapping[str, str], task: str, *, normalised: bool = False
) -> dict[str, Expression]:
    """The columns EXAMPLE, CONTENT and LEAKAGE, all uint64 and never null.

    Content is the text; source and target; context and question; the bytes of image or sound; all of a table's columns
    but the label. Parts must not share: the text, whatever its case and its white space; the source; the context; the
    bytes; the table's row. ``normalised``: texts are in NFC already and have single spaces, so that only case is left.
    """
    content = [columns[name] for name in content_columns(columns, roles, task)]
    label = [columns[name] for role, name in roles.items() if role == "label" and name in columns]
    leaking = [columns[roles[role]] for role in _LEAKING.get(task, ())] or content
    texts = set() if task not in _ROLES else {column.name for column in leaking}
    values = {column.name: _value(column) for column in (*content, *label)}
    folded = {name: _folded(value, normalised) if name in texts else value for name, value in values.items()}
    return {
        **_key(EXAMPLE, [values[column.name] for column in (*content, *label)]),
        **_key(CONTENT, [values[column.name] for column in content]),
        **_key(LEAKAGE, [folded[column.name] for column in leaking]),
    }


def content_columns(columns: Mapping[str, Column], roles: Mapping[str, str], task: str) -> list[str]:
    """The columns that make up the content of a row."""
    if task in _ROLES:
        return [roles[role] for role in _ROLES[task]]
    if task in _MEDIA:
        return [name for name, column in columns.items() if column.kind == _MEDIA[task]][:1]
    return [name for name in columns if name != roles.get("label")]


def compared_column(roles: Mapping[str, str], task: str) -> str | None:
    """The column whose near duplicates parts must not share: the text, the source, the context; None without one."""
    (role,) = _LEAKING.get(task, ("text",))
    return roles.get(role)


def folded_text(text: Expression) -> Expression:
    """``text`` without case: upper case made lower, so that ``Straße`` and ``STRASSE`` are one."""
    return f.lower(f.upper(text))


def _folded(text: Expression, normalised: bool) -> Expression:
    if normalised:
        return folded_text(text)
    return folded_text(f.normalize(f.regexp_replace(text, _UNWANTED, ""), nfd_unicode=True, white_space=True))


def _value(column: Column) -> Expression:
    """What is hashed, so that equal values have equal hashes: one zero, NaN as missing, nested values as JSON."""
    value = col(column.name)
    if column.strings:
        return value
    if column.kind == "number":
        number = value.cast(DataType.float64())
        # Daft orders -0.0 below 0.0, so that only the magnitude tells that both are nought.
        nought = f.when(f.abs(number) > lit(0.0), number).otherwise(lit(0.0))
        return f.when(f.is_null(number) | f.is_nan(number), lit(None)).otherwise(nought)
    if column.kind == "integer":
        return value.cast(DataType.string())
    if column.kind == "nested":
        return f.serialize(value, "json")
    return value


def _key(names: tuple[str, str], values: Sequence[Expression]) -> dict[str, Expression]:
    return {name: _hash(values, seed) for name, seed in zip(names, _SEEDS, strict=True)}


def _hash(values: Sequence[Expression], seed: int) -> Expression:
    missing = lit(_MISSING).cast(DataType.uint64())
    hashes = [
        f.when(f.is_null(value), missing).otherwise(f.hash(value, seed=seed, hash_function="xxhash3_64"))
        for value in values
    ]
    return hashes[0] if len(hashes) == 1 else f.hash(*hashes, seed=seed, hash_function="xxhash3_64")

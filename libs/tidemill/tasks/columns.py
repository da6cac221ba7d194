"""Finding columns by name and by figures: what the schemas of all tasks share. Knows no task."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput
from tidemill.tasks.profile import ColumnProfile, ColumnType

# fmt: off
LABEL_NAMES = frozenset((
    "label", "labels", "category", "class", "target", "intent", "topic", "sentiment", "y",
    "标签", "类别", "分类", "类目", "意图", "情感", "標籤", "類別",
))
TEXT_NAMES = frozenset((
    "text", "sentence", "message", "review", "content", "comment", "body", "utterance", "query", "question", "document",
    "tweet", "sms", "headline", "文本", "内容", "评论", "正文", "句子", "短信", "问题", "留言", "內容", "評論",
))
_IDENTIFIER_NAMES = frozenset((
    "id", "uuid", "guid", "index", "idx", "url", "link", "date", "time", "timestamp", "编号", "序号", "日期", "时间",
))
# fmt: on
NOT_PLAIN: frozenset[ColumnType] = frozenset(("image", "audio", "nested", "other"))
"""Types whose values are not one text, number or date."""
MEDIA_COLUMNS = frozenset(("path", "image", "width", "height", "audio", "sample_rate", "seconds", "objects"))
"""Columns that reading a media folder makes."""
_MAX_DETECTED_LABELS = 1_000
_MAX_LABEL_LENGTH = 100


def by_name(columns: Sequence[ColumnProfile], name: str) -> ColumnProfile | None:
    """The column of that name."""
    return next((column for column in columns if column.name == name), None)


def require(columns: Sequence[ColumnProfile], name: str, key: str, where: str) -> ColumnProfile:
    """The column ``name``, which the recipe names as ``key``. Raises InvalidInput with the nearest name there is."""
    found = by_name(columns, name)
    if found is not None:
        return found
    names = [column.name for column in columns]
    by_folded = {candidate.casefold(): candidate for candidate in names}
    nearest = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    hint = f"did you mean {by_folded[nearest[0]]!r}?" if nearest else f"set {key} to one of them"
    raise InvalidInput(f"{where} has no column {name!r} ({key}); its columns are {listed(names)}; {hint}")


def require_plain(column: ColumnProfile, key: str, where: str) -> None:
    """Raise InvalidInput for a column of nested values or without any value."""
    if column.type in NOT_PLAIN:
        raise InvalidInput(
            f"{where}, column {column.name!r}: {key} has to be a column of plain values, not nested ones"
        )
    if column.type == "empty":
        raise InvalidInput(f"{where}, column {column.name!r} ({key}): every value is missing; name another column")


def only_named(columns: Sequence[ColumnProfile], names: frozenset[str]) -> ColumnProfile | None:
    """The column with one of ``names`` when there is exactly one."""
    found = [column for column in columns if folded(column.name) in names]
    return found[0] if len(found) == 1 else None


def media_label(columns: Sequence[ColumnProfile], data: Data, task: str, where: str) -> str:
    """The label of images or recordings: named in the recipe, by a usual name, or the only column that could be one.

    Raises:
        InvalidInput: there is none, or several would do.
    """
    if data.label is not None:
        require_plain(require(columns, data.label, "data.label", where), "data.label", where)
        return data.label
    others = [column for column in columns if column.name not in MEDIA_COLUMNS and column.type not in NOT_PLAIN]
    named = [column for column in others if folded(column.name) in LABEL_NAMES]
    fitting = named or [column for column in others if could_be_label(column)]
    if len(fitting) == 1:
        require_plain(fitting[0], "data.label", where)
        return fitting[0].name
    if fitting:
        raise InvalidInput(
            f"{where}: several columns could be the label ({listed([column.name for column in fitting])}); "
            f"say which in the recipe:  task: {task}, data: {{label: <column>}}"
        )
    raise InvalidInput(
        f"{where}: nothing says what the label of a file is; put the files of each class into a folder of its own, or "
        'say where the label is in their paths:  data: {path_pattern: "{label}_{_}"}  or in a table beside them:  '
        "data: {annotations: <file>}"
    )


def could_be_label(column: ColumnProfile) -> bool:
    """Whether it has few enough distinct short values to be classes."""
    return (
        column.type not in NOT_PLAIN
        and column.type != "empty"
        and column.distinct is not None
        and column.distinct <= max(2, min(_MAX_DETECTED_LABELS, column.present // 2))
        and column.max_length <= _MAX_LABEL_LENGTH
    )


def is_identifier(column: ColumnProfile) -> bool:
    """Whether its name or its values, all different and of one length, say that it numbers the rows."""
    name = folded(column.name)
    if name in _IDENTIFIER_NAMES or name.endswith(("_id", "_url", "_date")):
        return True
    all_distinct = column.distinct is None or column.distinct == column.present
    return all_distinct and column.present > 1 and column.min_length == column.max_length > 1


def named_roles(**roles: str | None) -> dict[str, str]:
    """The roles whose column is known."""
    return {role: column for role, column in roles.items() if column is not None}


def known(columns: Mapping[str, ColumnType], *names: str | None) -> tuple[str, ...]:
    """Those of ``names`` that are columns."""
    return tuple(name for name in names if name is not None and name in columns)


def folded(name: str) -> str:
    """A name as it is compared with usual names."""
    return name.strip().casefold()


def listed(names: Sequence[str]) -> str:
    """Names for a message, at most 20."""
    shown = ", ".join(repr(name) for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"

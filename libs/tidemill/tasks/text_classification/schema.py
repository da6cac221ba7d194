"""Text classification's data: a column with text and one with a label. Finds them, and says when they cannot work.

Knows names and figures of columns, never their rows; imports neither pyarrow nor torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput
from tidemill.tasks import ColumnProfile

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
COLUMN_NAMES = LABEL_NAMES | TEXT_NAMES

MAX_LABELS = 10_000
"""More classes than this are taken for free text or identifiers."""
_MAX_DETECTED_LABELS = 1_000
_MAX_LABEL_LENGTH = 100
_CLEARLY_LONGER = 1.5


def resolve_columns(columns: Sequence[ColumnProfile], data: Data, where: str) -> Data:
    """``data`` with ``text`` and ``label`` filled in.

    What the recipe names is taken as it is; the rest is found by name first, then by content: the label has few
    distinct values, the text is the longest free text.

    Raises:
        InvalidInput: a named column is not there, there are too few columns, or several would do; the message
            lists the columns and the recipe lines to write.
    """
    for key, name in (("text", data.text), ("label", data.label)):
        if name is not None:
            _require(columns, name, f"data.{key}", where)
    if data.text is not None and data.text == data.label:
        raise InvalidInput(f"the recipe names column {data.text!r} for both data.text and data.label; name two columns")
    if len(columns) < 2:
        raise InvalidInput(
            f"{where} has one column, {columns[0].name!r}; text classification needs one with text and one with the "
            "label (if the file's fields are separated by something else than a comma, tab, semicolon or bar, "
            "convert it)"
        )
    label = data.label or _find_label(columns, data.text, where)
    text = data.text or _find_text(columns, label, where)
    for key, name in (("text", text), ("label", label)):
        column = next(column for column in columns if column.name == name)
        if column.type == "other":
            raise InvalidInput(
                f"{where}, column {name!r}: data.{key} has to be a column of plain values, not nested ones"
            )
        if column.type == "empty":
            raise InvalidInput(f"{where}, column {name!r} (data.{key}): every value is missing; name another column")
    return data.model_copy(update={"text": text, "label": label})


def check_labels(counts: Mapping[str, int] | None, column: str, where: str) -> None:
    """Refuse labels that no classifier can be fitted to.

    ``counts`` holds the rows of each label, missing ones left out; None when there are more than ``MAX_LABELS``.

    Raises:
        InvalidInput: fewer than two classes, or too many.
    """
    if counts is None:
        raise InvalidInput(
            f"{where}, column {column!r}: more than {MAX_LABELS:,} distinct labels; this looks like free text or an "
            "identifier; set data.label to the column that holds the class"
        )
    if len(counts) < 2:
        only = next(iter(counts), None)
        found = f"every row has the label {only!r}" if only is not None else "no row has a label"
        raise InvalidInput(
            f"{where}, column {column!r}: {found}; a classifier needs at least two classes: "
            "add rows of another class or set data.label to another column"
        )


def _require(columns: Sequence[ColumnProfile], name: str, key: str, where: str) -> None:
    names = [column.name for column in columns]
    if name in names:
        return
    folded = {candidate.casefold(): candidate for candidate in names}
    nearest = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    hint = f"did you mean {folded[nearest[0]]!r}?" if nearest else f"set {key} to one of them"
    raise InvalidInput(f"{where} has no column {name!r} ({key}); its columns are {_listed(names)}; {hint}")


def _find_label(columns: Sequence[ColumnProfile], text: str | None, where: str) -> str:
    others = [column for column in columns if column.name != text]
    named = [column for column in others if _normal(column.name) in LABEL_NAMES and column.type != "other"]
    if len(named) == 1:
        return named[0].name
    fitting = [column for column in named or others if _could_be_label(column)]
    if len(fitting) > 1 and not named:
        # An answer column beside the text is what is left when names and identifiers are put aside.
        texts = [column.name for column in others if _normal(column.name) in TEXT_NAMES]
        fitting = [column for column in fitting if not _is_identifier(column) and column.name not in texts]
    if len(fitting) > 1:
        fitting = [column for column in fitting if column.distinct != 1] or fitting
    if len(fitting) == 1:
        return fitting[0].name
    problem = "several columns could be the label" if fitting else "no column looks like a label"
    raise InvalidInput(_ambiguous(where, problem, columns, [column.name for column in fitting]))


def _find_text(columns: Sequence[ColumnProfile], label: str, where: str) -> str:
    others = [column for column in columns if column.name != label]
    named = [column for column in others if _normal(column.name) in TEXT_NAMES and column.type == "text"]
    if len(named) == 1:
        return named[0].name
    if len(others) == 1:
        return others[0].name
    fitting = named or [column for column in others if column.type == "text" and not _is_identifier(column)]
    fitting = sorted(fitting, key=lambda column: column.mean_length, reverse=True)
    if not fitting:
        raise InvalidInput(_ambiguous(where, "no column looks like text", columns, []))
    if len(fitting) > 1 and fitting[0].mean_length < _CLEARLY_LONGER * fitting[1].mean_length:
        close = [column.name for column in fitting if fitting[0].mean_length < _CLEARLY_LONGER * column.mean_length]
        raise InvalidInput(_ambiguous(where, "several columns could be the text", columns, close))
    return fitting[0].name


def _could_be_label(column: ColumnProfile) -> bool:
    return (
        column.type not in ("other", "empty")
        and column.distinct is not None
        and column.distinct <= max(2, min(_MAX_DETECTED_LABELS, column.present // 2))
        and column.max_length <= _MAX_LABEL_LENGTH
    )


def _is_identifier(column: ColumnProfile) -> bool:
    name = _normal(column.name)
    if name in _IDENTIFIER_NAMES or name.endswith(("_id", "_url", "_date")):
        return True
    all_distinct = column.distinct is None or column.distinct == column.present
    return all_distinct and column.present > 1 and column.min_length == column.max_length > 1


def _normal(name: str) -> str:
    return name.strip().casefold()


def _ambiguous(where: str, problem: str, columns: Sequence[ColumnProfile], candidates: Sequence[str]) -> str:
    which = f" ({_listed(candidates)})" if candidates else ""
    return (
        f"{where}: {problem}{which}; its columns are {_listed([column.name for column in columns])}; "
        "say which in the recipe:  data: {text: <column>, label: <column>}"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"

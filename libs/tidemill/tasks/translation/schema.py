"""Translation's data: a column with a text, and one with the same in another language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput
from tidemill.tasks.columns import could_be_label, folded, is_identifier, known, listed, named_roles, require
from tidemill.tasks.profile import ColumnProfile, ColumnType

_PAIRS = (
    ("source", "target"), ("src", "tgt"), ("source_text", "target_text"), ("original", "translation"),
    ("原文", "译文"), ("原文", "譯文"),
)  # fmt: skip
COLUMN_NAMES = frozenset(name for pair in _PAIRS for name in pair) - {"original"}
HAS_CLASSES = False

_LANGUAGE_NAMES = (
    "aa ab af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo "
    "es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka "
    "kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng "
    "nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su "
    "sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu "
    "eng cmn zho deu fra spa ita por rus jpn kor ara hin nld pol tur ukr vie "
    "english chinese german french spanish italian portuguese russian japanese korean arabic hindi dutch polish "
    "中文 汉语 漢語 英文 英语 英語 日语 日本語 德语 法语 俄语 韩语"
)
_LANGUAGES = frozenset(_LANGUAGE_NAMES.split())
"""ISO 639-1, some of ISO 639-3, and names of languages."""


def suits(columns: Sequence[ColumnProfile], data: Data) -> bool:
    """Whether the recipe names a side, or two columns of texts are named as sides or after languages."""
    return data.source is not None or data.target is not None or (data.text is None and _pair(columns) is not None)


def resolve_columns(columns: Sequence[ColumnProfile], data: Data, where: str) -> Data:
    """``data`` with ``source`` and ``target`` filled in; of two languages the first column is the source.

    Raises:
        InvalidInput: they are not there, or it is not clear which they are.
    """
    source, target = data.source, data.target
    for key, name in (("source", source), ("target", target)):
        if name is not None:
            require(columns, name, f"data.{key}", where)
    if source is None or target is None:
        pair = _pair(columns) or _only_two(columns)
        if pair is not None and {source, target} <= {None, *pair}:
            source = source or next(name for name in pair if name != target)
            target = target or next(name for name in pair if name != source)
    if source is None or target is None:
        raise InvalidInput(
            f"{where}: it is not clear which columns hold the text and its translation; its columns are "
            f"{listed([column.name for column in columns])}; say which in the recipe:  task: translation, "
            "data: {source: <column>, target: <column>}"
        )
    if source == target:
        raise InvalidInput(f"the recipe names column {source!r} for both data.source and data.target; name two columns")
    for key, name in (("source", source), ("target", target)):
        column = require(columns, name, f"data.{key}", where)
        if column.type != "text":
            raise InvalidInput(
                f"{where}, column {name!r}: data.{key} has to be a column of texts, not {column.type} values"
            )
    return data.model_copy(update={"source": source, "target": target})


def roles(data: Data) -> dict[str, str]:
    """``source`` and ``target``."""
    return named_roles(source=data.source, target=data.target)


def features(columns: Mapping[str, ColumnType], data: Data) -> tuple[str, ...]:
    """The source."""
    return known(columns, data.source)


def _pair(columns: Sequence[ColumnProfile]) -> tuple[str, str] | None:
    """Source and target by name; texts only, because a source can be where a row comes from, and a target a label."""
    texts = {folded(column.name): column.name for column in columns if _is_text(column)}
    for source, target in _PAIRS:
        if source in texts and target in texts:
            return texts[source], texts[target]
    languages = [original for name, original in texts.items() if name.replace("_", "-").split("-")[0] in _LANGUAGES]
    return (languages[0], languages[1]) if len(languages) == 2 else None


def _only_two(columns: Sequence[ColumnProfile]) -> tuple[str, str] | None:
    texts = [column.name for column in columns if column.type == "text" and not is_identifier(column)]
    return (texts[0], texts[1]) if len(texts) == 2 else None


def _is_text(column: ColumnProfile) -> bool:
    return column.type == "text" and not could_be_label(column) and folded(column.name) != "id"

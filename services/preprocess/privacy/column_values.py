"""Treats all values of a column, each distinct one once. Knows Arrow; nothing of Daft or datasets."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from services.preprocess.privacy.entities import Entity, structural
from services.preprocess.privacy.entities.person import PERSON
from services.preprocess.privacy.fake_values import fake_date, fake_integer, fake_number, fake_text
from services.preprocess.privacy.findings import find
from services.preprocess.privacy.key import Draw, keyed_digest
from services.preprocess.privacy.ranges import number_range, years
from services.preprocess.privacy.treatment import fake, hashed, mask, needed, token
from services.preprocess.privacy.vault import ENTRY, sealed
from tidemill.contracts.privacy import STRUCTURAL, ColumnPrivacy
from tidemill.datasets import Column

_NAME_COLUMN = re.compile(r"(?i)(^|[^a-z])(full|first|last|given|family|sur|middle|user|customer|patient|employee)?"
                          r"[ _-]?name($|[^a-z])|surname|姓名|名字|客户名|vorname|nachname")  # fmt: skip
_INVENTIONS: dict[str, Callable[[Any, Draw], Any]] = {"integer": fake_integer, "number": fake_number, "date": fake_date}
_TRIES = 32


@dataclass(frozen=True)
class ColumnValues:
    """A column, and what happens to its values."""

    column: Column
    rule: ColumnPrivacy
    regions: tuple[str, ...]
    key: bytes | None = field(default=None, repr=False)

    @property
    def type(self) -> pa.StructType:
        """Of what is given for each value: the new ``value`` and, for tokens, its entry in the vault."""
        return pa.struct([("value", _value_type(self.column, self.rule)), ("tokens", pa.list_(ENTRY))])

    def __call__(self, values: pa.Array) -> pa.StructArray:
        """The values treated; missing ones stay missing."""
        coded = values.dictionary_encode()
        distinct = coded.dictionary
        treat = self._treatment(distinct)
        new = [treat(value) for value in distinct.to_pylist()]
        treated = pa.array(new, self.type.field(0).type).take(coded.indices)
        return pa.StructArray.from_arrays([treated, self._entries(distinct, new, coded)], fields=list(self.type))

    def _entries(self, distinct: pa.Array, new: list[Any], coded: pa.DictionaryArray) -> pa.Array:
        if self.rule.treatment != "token":
            return pa.nulls(len(coded), pa.list_(ENTRY))
        key = needed(self.key)
        entries = [
            [sealed(key, name, self.column.name, text)]
            for name, text in zip(new, map(_text, distinct.to_pylist()), strict=True)
        ]
        return pa.array(entries, pa.list_(ENTRY)).take(coded.indices)

    def _treatment(self, distinct: pa.Array) -> Callable[[Any], Any]:
        if self.rule.treatment == "mask":
            return lambda value: mask(self.column.name)
        if self.rule.treatment == "generalise":
            return self._generalised(distinct)
        key = needed(self.key)
        if self.rule.treatment == "token":
            return lambda value: token(key, self.column.name, _text(value))
        if self.rule.treatment == "hash":
            known = self._entities(distinct)
            return lambda value: self._hashed(key, _text(value), known.get(_text(value)))
        return self._faked(key, distinct)

    def _hashed(self, key: bytes, text: str, entity: Entity | None) -> str:
        return hashed(key, entity.name, entity.canonical(text)) if entity else hashed(key, self.column.name, text)

    def _generalised(self, distinct: pa.Array) -> Callable[[Any], str]:
        if self.rule.keep_characters is not None:
            kept = self.rule.keep_characters
            return lambda value: _text(value)[:kept] + ("*" if len(_text(value)) > kept else "")
        if self.column.kind == "date":
            return lambda value: years(value, self.rule.step) or mask(self.column.name)
        if self.column.kind in ("integer", "number"):
            whole = self.column.kind == "integer"
            return lambda value: number_range(value, self.rule.step, whole=whole) or mask(self.column.name)
        known = self._entities(distinct)

        def generalised(value: Any) -> str:
            entity = known.get(_text(value))
            return (entity.generalise(_text(value)) if entity else None) or mask(self.column.name)

        return generalised

    def _faked(self, key: bytes, distinct: pa.Array) -> Callable[[Any], Any]:
        if (invent := _INVENTIONS.get(self.column.kind)) and not self.column.strings:
            return lambda value: self._other(key, value, invent)
        known = self._entities(distinct)
        named = bool(_NAME_COLUMN.search(self.column.name))

        def faked(value: Any) -> str:
            text = _text(value)
            if entity := known.get(text):
                return fake(key, entity, text)
            return fake(key, PERSON, text) if named else self._other(key, text, fake_text)

        return faked

    def _other(self, key: bytes, value: Any, invent: Callable[[Any, Draw], Any]) -> Any:
        """What ``invent`` makes of the value, drawn again while it is the value itself."""
        for attempt in range(_TRIES):
            invented = invent(value, Draw(keyed_digest(key, "fake", self.column.name, _text(value), str(attempt))))
            if invented != value:
                return invented
        return mask(self.column.name) if isinstance(value, str) else None

    def _entities(self, distinct: pa.Array) -> dict[str, Entity]:
        """Of the values that are a piece of personal data and nothing else, of which kind."""
        texts = pa.array([_text(value) for value in distinct.to_pylist()], pa.string())
        found = find(texts, STRUCTURAL, self.regions)
        return {
            text: self._known[name]
            for text, name, start, end in zip(found.texts, found.entities, found.starts, found.ends, strict=True)
            if start == 0 and end == len(text)
        }

    @cached_property
    def _known(self) -> dict[str, Entity]:
        return {one.name: one for one in structural(STRUCTURAL, self.regions)}

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def result_kind(column: Column, rule: ColumnPrivacy) -> Column:
    """The column after its treatment."""
    if rule.treatment in ("keep", "fake"):
        return column
    return Column(name=column.name, kind="text" if rule.treatment == "token" else "category")


def _value_type(column: Column, rule: ColumnPrivacy) -> pa.DataType:
    if rule.treatment != "fake" or column.strings:
        return pa.string()
    return {"integer": pa.int64(), "number": pa.float64(), "date": pa.timestamp("us")}.get(column.kind, pa.string())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)

"""Finds and treats the personal data in a batch of texts. Knows Arrow; nothing of Daft, columns or datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.preprocess.privacy.entities import SPECIFICITY, Entity, StructuralEntity, structural, with_model
from services.preprocess.privacy.findings import Findings, found_by
from services.preprocess.privacy.model import TokenClassifier, classifier
from services.preprocess.privacy.treatment import mask, needed, replacement
from services.preprocess.privacy.vault import ENTRY, sealed
from tidemill.contracts.privacy import STRUCTURAL, EntityName, Treatment

EDIT = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("length", pa.int32())])
"""Characters ``start`` to ``end`` of the text as it was are ``length`` others now."""

_AS_WRITTEN: frozenset[Treatment] = frozenset({"keep", "token"})
"""Treatments of the value as it stands in the text; others see full-width characters made narrow."""


@dataclass(frozen=True)
class TextScan:
    """What is looked for, and what happens to it. Pickled, it holds the key: it goes to workers, never to a file."""

    treatments: Mapping[EntityName, Treatment]
    """Of every entity that is looked for."""
    regions: tuple[str, ...]
    key: bytes | None = field(default=None, repr=False)
    model: str | None = None
    edits: bool = False
    """Whether it says what was changed where; needed where other columns point into the text."""

    @property
    def cue(self) -> str | None:
        """Pattern of the texts that have to be looked at; None: all of them, for a model reads every text."""
        if self._with_model:
            return None
        return "|".join(dict.fromkeys(f"(?:{one.cue})" for one in self._structural))

    @property
    def seals(self) -> bool:
        """Whether it gives reversible tokens."""
        return "token" in self.treatments.values()

    @property
    def type(self) -> pa.StructType:
        """Of what a scan gives for each text."""
        treated = zip(("text", "drop", "tokens", "edits"), self._treated_types, strict=True)
        return pa.struct([*treated, *((name, pa.int32()) for name in self.treatments)])

    def __call__(self, texts: pa.Array) -> pa.StructArray:
        """For each of the texts, of which null ones hold nothing: the treated ``text`` (null: as it was), whether the
        row has to go (``drop``), the entries of the vault, what was changed where, and findings by entity.

        Raises:
            InvalidInput: the model cannot be used.
        """
        findings = self._find(texts)
        rows, first = np.unique(findings.rows, return_index=True)
        bounds = [*first.tolist(), len(findings)]
        places = np.full(len(texts), -1, np.int64)
        places[rows] = np.arange(len(rows))
        scattered = pa.array(places, mask=places < 0)
        columns = [
            pa.nulls(len(texts), kind) if values is None else pa.array(values, kind).take(scattered)
            for values, kind in zip(self._treated(findings, bounds), self._treated_types, strict=True)
        ]
        of_kind = np.array([self._code[name] for name in findings.entities], np.int64)
        for code in range(len(self.treatments)):
            counted = np.bincount(findings.rows[of_kind == code], minlength=len(texts))
            columns.append(pa.array(counted.astype(np.int32)))
        return pa.StructArray.from_arrays(columns, fields=list(self.type))

    def _find(self, texts: pa.Array) -> Findings:
        if self._classifier is None:
            return found_by(self._structural, texts)
        ranks = {SPECIFICITY.index(one.name) for one in self._with_model}
        return found_by(self._structural, texts, also=[one for one in self._classifier(texts) if one[4] in ranks])

    def _treated(
        self, findings: Findings, bounds: Sequence[int]
    ) -> tuple[list[str], list[bool] | None, list[Any] | None, list[Any] | None]:
        """Of each row with findings its text, whether it goes, its tokens and its edits; None for what nobody asks."""
        masks = self._masks
        new = [masks.get(name) or self._new(findings, one) for one, name in enumerate(findings.entities)]
        texts = [_replaced(findings, new, first, last) for first, last in pairwise(bounds)]
        drops = edits = tokens = None
        if "drop" in self.treatments.values():
            dropped = {name for name, treatment in self.treatments.items() if treatment == "drop"}
            drops = [not dropped.isdisjoint(findings.entities[first:last]) for first, last in pairwise(bounds)]
        if self.edits:
            spans = zip(findings.starts, findings.ends, new, strict=True)
            changed = [{"start": start, "end": end, "length": len(value)} for start, end, value in spans]
            edits = [changed[first:last] for first, last in pairwise(bounds)]
        if self.seals:
            tokens = self._tokens(findings, new, bounds)
        return texts, drops, tokens, edits

    def _new(self, findings: Findings, at: int) -> str:
        name = findings.entities[at]
        if self.treatments[name] in _AS_WRITTEN:
            return self._replacements[name](_written(findings, at))
        return self._replacements[name](findings.value(at))

    def _tokens(self, findings: Findings, new: Sequence[str], bounds: Sequence[int]) -> list[Any]:
        key = needed(self.key)
        entries = [
            [sealed(key, new[at], name, _written(findings, at))] if self.treatments[name] == "token" else []
            for at, name in enumerate(findings.entities)
        ]
        return [list(chain.from_iterable(entries[first:last])) or None for first, last in pairwise(bounds)]

    @property
    def _treated_types(self) -> tuple[pa.DataType, ...]:
        return pa.string(), pa.bool_(), pa.list_(ENTRY), pa.list_(EDIT)

    @cached_property
    def _structural(self) -> tuple[StructuralEntity, ...]:
        return structural(self.treatments, self.regions)

    @cached_property
    def _with_model(self) -> tuple[Entity, ...]:
        return with_model(self.treatments) if self.model is not None else ()

    @cached_property
    def _classifier(self) -> TokenClassifier | None:
        return classifier(self.model) if self.model is not None and self._with_model else None

    @cached_property
    def _code(self) -> dict[EntityName, int]:
        return {name: code for code, name in enumerate(self.treatments)}

    @cached_property
    def _replacements(self) -> dict[EntityName, Callable[[str], str]]:
        known: tuple[Entity, ...] = (*self._structural, *self._with_model)
        return {one.name: replacement(one, self.treatments[one.name], self.key) for one in known}

    @cached_property
    def _masks(self) -> dict[EntityName, str]:
        return {name: mask(name) for name, treatment in self.treatments.items() if treatment in ("mask", "drop")}

    def __getstate__(self) -> dict[str, Any]:
        # What is worked out from these is made anew where it is needed: functions that remember cannot be pickled.
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _replaced(findings: Findings, new: Sequence[str], first: int, last: int) -> str:
    """The text of the findings ``first`` to ``last - 1`` with what is ``new`` in their places."""
    text, starts, ends = findings.texts[first], findings.starts, findings.ends
    if last == first + 1:
        return f"{text[: starts[first]]}{new[first]}{text[ends[first] :]}"
    position = 0
    pieces: list[str] = []
    for one in range(first, last):
        pieces += (text[position : starts[one]], new[one])
        position = ends[one]
    return "".join((*pieces, text[position:]))


def _written(findings: Findings, at: int) -> str:
    return findings.texts[at][findings.starts[at] : findings.ends[at]]


def masked(
    texts: pa.Array, regions: Sequence[str], *, also: Sequence[EntityName] = (), model: str | None = None
) -> pa.Array:
    """``texts`` (strings) with all that is recognised by its form masked, and what the model finds of ``also``: for
    what is shown of rows as they were before their personal data was treated.

    Raises:
        InvalidInput: a region is not a country, the model cannot be used.
    """
    scan = TextScan(dict.fromkeys((*STRUCTURAL, *also), "mask"), tuple(regions), model=model)
    shown = scan(texts).field("text")
    return pc.coalesce(shown, texts.cast(pa.string()))

"""Finds and treats the personal data in a batch of texts. Knows Arrow; nothing of Daft, columns or datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.preprocess.privacy.entities import Entity, StructuralEntity, structural, with_model
from services.preprocess.privacy.findings import Findings, found_by
from services.preprocess.privacy.model import TokenClassifier, classifier
from services.preprocess.privacy.treatment import needed, replacement
from services.preprocess.privacy.vault import ENTRY, sealed
from tidemill.contracts.privacy import EntityName, Treatment

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
        fields = [("text", pa.string()), ("drop", pa.bool_()), ("tokens", pa.list_(ENTRY)), ("edits", pa.list_(EDIT))]
        return pa.struct([*fields, *((name, pa.int32()) for name in self.treatments)])

    def __call__(self, texts: pa.Array) -> pa.StructArray:
        """For each of the texts, of which null ones hold nothing: the treated ``text`` (null: as it was), whether the
        row has to go (``drop``), the entries of the vault, what was changed where, and findings by entity.

        Raises:
            InvalidInput: the model cannot be used.
        """
        findings = self._find(texts)
        rows = np.unique(findings.rows)
        treated = self._treated(texts.take(pa.array(rows)).to_pylist(), findings, rows)
        kinds = [self.type.field(at).type for at in range(4)]
        columns = [
            _scattered(values, kind, rows, len(texts)) for values, kind in zip(treated, kinds, strict=True)
        ]
        of_kind = np.array([self._code[name] for name in findings.entities], np.int64)
        for code in range(len(self.treatments)):
            counted = np.bincount(findings.rows[of_kind == code], minlength=len(texts))
            columns.append(pa.array(counted.astype(np.int32)))
        return pa.StructArray.from_arrays(columns, fields=list(self.type))

    def _find(self, texts: pa.Array) -> Findings:
        if self._classifier is None:
            return found_by(self._structural, texts)
        wanted = {one.name for one in self._with_model}
        return found_by(self._structural, texts, also=[one for one in self._classifier(texts) if one[4] in wanted])

    def _treated(
        self, originals: Sequence[str], findings: Findings, rows: npt.NDArray[np.int64]
    ) -> tuple[list[str], list[bool], list[Any], list[Any]]:
        """For each of ``rows``, the ones with findings: its text, whether it goes, its tokens and its edits."""
        texts: list[str] = []
        drops: list[bool] = []
        tokens: list[Any] = []
        edits: list[Any] = []
        bounds = [*np.searchsorted(findings.rows, rows).tolist(), len(findings)]
        starts, ends = findings.starts.tolist(), findings.ends.tolist()
        for at, original in enumerate(originals):
            pieces: list[str] = []
            entries: list[Any] = []
            changed: list[Any] = []
            position, goes = 0, False
            for one in range(bounds[at], bounds[at + 1]):
                name, start, end = findings.entities[one], starts[one], ends[one]
                treatment = self.treatments[name]
                value = original[start:end] if treatment in _AS_WRITTEN else findings.values[one]
                new = self._replacements[name](value)
                goes |= treatment == "drop"
                if treatment == "token":
                    entries.append(sealed(needed(self.key), new, name, value))
                pieces += (original[position:start], new)
                if self.edits:
                    changed.append({"start": start, "end": end, "length": len(new)})
                position = end
            texts.append("".join((*pieces, original[position:])))
            drops.append(goes)
            tokens.append(entries or None)
            edits.append(changed or None)
        return texts, drops, tokens, edits

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

    def __getstate__(self) -> dict[str, Any]:
        # What is worked out from these is made anew where it is needed: functions that remember cannot be pickled.
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _scattered(values: Sequence[Any], kind: pa.DataType, rows: npt.NDArray[np.int64], length: int) -> pa.Array:
    """An array of ``length`` with ``values`` at ``rows`` and null elsewhere."""
    places = np.full(length, -1, np.int64)
    places[rows] = np.arange(len(rows))
    return pa.array(values, kind).take(pa.array(places, mask=places < 0))

"""Where personal data stands in texts. Knows the entities; nothing of what is done about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.preprocess.privacy.entities import SPECIFICITY, StructuralEntity, structural
from services.preprocess.privacy.entities.entity import ROW_END
from tidemill.contracts.privacy import EntityName

# Full-width letters, digits and signs, and the dashes and spaces of typography, one character for one.
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_NARROW |= dict.fromkeys([*range(0x2010, 0x2016), 0x2212], ord("-"))
_NARROW |= dict.fromkeys([0xA0, 0x3000, 0x202F, *range(0x2000, 0x200B)], ord(" "))
_WIDE = re.compile(f"[{''.join(re.escape(chr(code)) for code in sorted(_NARROW))}]")
_RANK = {name: rank for rank, name in enumerate(SPECIFICITY)}

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Findings:
    """Findings in the order of their rows and places; they never overlap. All arrays have one element for each."""

    rows: Integers
    """Index of the text."""
    starts: Integers
    ends: Integers
    """Characters from ``starts`` up to ``ends``."""
    entities: list[EntityName]
    values: list[str]
    """As they stand in the text, full-width characters made narrow."""

    def __len__(self) -> int:
        return len(self.entities)

    def counts(self) -> dict[EntityName, int]:
        """How many there are of each kind."""
        return {name: self.entities.count(name) for name in SPECIFICITY if name in set(self.entities)}


def find(
    texts: pa.Array | pa.ChunkedArray, entities: Iterable[EntityName], regions: Sequence[str], *, reserved: bool = True
) -> Findings:
    """The personal data in ``texts`` (strings; nulls hold none) that is recognised by its form.

    ``person`` and ``address`` need a model and are not looked for here. With ``reserved`` false, values of ranges that
    are kept for documentation, tests and fiction are left out: a prepared dataset may hold invented values.

    Raises:
        InvalidInput: a region is not a country that has phone numbers.
    """
    return found_by(structural(entities, regions), texts, reserved=reserved)


def found_by(
    known: Sequence[StructuralEntity], texts: pa.Array | pa.ChunkedArray, *, reserved: bool = True,
    also: Sequence[tuple[int, int, int, int, EntityName]] = (),
) -> Findings:  # fmt: skip
    """What the entities find; ``also`` are findings of a model: row, start, end, how sure, entity."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    found = list(also)
    for cue, sharing in _by_cue(known).items():
        rows = np.flatnonzero(pc.fill_null(pc.match_substring_regex(texts, cue), False).to_numpy(zero_copy_only=False))
        if len(rows):
            scanned = _Joined(rows, texts.take(pa.array(rows)).to_pylist())
            for entity in sharing:
                found.extend(scanned.matches(entity, reserved=reserved))
    found = _resolved(found)
    rows_of = np.fromiter((one[0] for one in found), np.int64, len(found))
    starts = [one[1] for one in found]
    ends = [one[2] for one in found]
    return Findings(
        rows=rows_of,
        starts=np.array(starts, np.int64),
        ends=np.array(ends, np.int64),
        entities=[one[4] for one in found],
        values=_values(texts, rows_of, starts, ends),
    )


def narrow(text: str) -> str:
    """The text with full-width characters made narrow; as long as before."""
    return text if text.isascii() or not _WIDE.search(text) else text.translate(_NARROW)


class _Joined:
    """Texts scanned as one: a pattern runs through all of them without a loop over rows."""

    def __init__(self, rows: Integers, texts: list[str]) -> None:
        self._rows = rows
        self._text = narrow(ROW_END.join(texts))
        lengths = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
        self._offsets = np.concatenate(([0], np.cumsum(lengths)[:-1]))

    def matches(self, entity: StructuralEntity, *, reserved: bool) -> Iterator[tuple[int, int, int, int, EntityName]]:
        spans = [span for match in entity.pattern.finditer(self._text) if (span := entity.check(match)) is not None]
        if not reserved:
            spans = [span for span in spans if not entity.reserved(self._text[span.start : span.end])]
        starts = np.fromiter((span.start for span in spans), np.int64, len(spans))
        at = np.searchsorted(self._offsets, starts, side="right") - 1
        rows, offsets = self._rows[at].tolist(), self._offsets[at].tolist()
        for span, row, offset in zip(spans, rows, offsets, strict=True):
            yield row, span.start - offset, span.end - offset, span.sure, entity.name


def _by_cue(known: Sequence[StructuralEntity]) -> dict[str, list[StructuralEntity]]:
    sharing: dict[str, list[StructuralEntity]] = {}
    for entity in known:
        sharing.setdefault(entity.cue, []).append(entity)
    return sharing


def _resolved(found: list[tuple[int, int, int, int, EntityName]]) -> list[tuple[int, int, int, int, EntityName]]:
    """Of findings that overlap the longest stands, then the surest, then the most specific."""
    found.sort(key=lambda one: (one[0], one[1], -one[2]))
    kept: list[tuple[int, int, int, int, EntityName]] = []
    cluster: list[tuple[int, int, int, int, EntityName]] = []
    end = row = -1
    for one in found:
        if one[0] != row or one[1] >= end:
            kept.extend(_best(cluster))
            cluster, row, end = [], one[0], -1
        cluster.append(one)
        end = max(end, one[2])
    kept.extend(_best(cluster))
    return kept


def _best(cluster: list[tuple[int, int, int, int, EntityName]]) -> list[tuple[int, int, int, int, EntityName]]:
    if len(cluster) < 2:
        return cluster
    chosen: list[tuple[int, int, int, int, EntityName]] = []
    for one in sorted(cluster, key=lambda one: (one[1] - one[2], -one[3], _RANK[one[4]])):
        if all(one[2] <= other[1] or one[1] >= other[2] for other in chosen):
            chosen.append(one)
    return sorted(chosen)


def _values(texts: pa.Array, rows: Integers, starts: list[int], ends: list[int]) -> list[str]:
    own = texts.take(pa.array(rows)).to_pylist()
    return [narrow(text[start:end]) for text, start, end in zip(own, starts, ends, strict=True)]

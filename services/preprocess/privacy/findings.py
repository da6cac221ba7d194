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
from services.preprocess.privacy.overlaps import Found, resolved
from tidemill.contracts.privacy import EntityName

# Full-width letters, digits and signs, and the dashes and spaces of typography, one character for one. The full-width
# colon stays: it stands before a value, and would be read as part of an IPv6 address.
_NARROW = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if code != 0xFF1A}
_NARROW |= dict.fromkeys(map(chr, [*range(0x2010, 0x2016), 0x2212]), "-")
_NARROW |= dict.fromkeys(map(chr, [0xA0, 0x3000, 0x202F, *range(0x2000, 0x200B)]), " ")
_WIDE = re.compile(f"[{''.join(map(re.escape, sorted(_NARROW)))}]")
SURE = 2
"""How sure a finding is that a kind which yields needs no look at: it is never surer of the same characters."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Findings:
    """Findings in the order of their rows and places; they never overlap. All lists have one element for each."""

    rows: Integers
    """Index of the text."""
    starts: list[int]
    ends: list[int]
    """Characters from ``starts`` up to ``ends``."""
    entities: list[EntityName]
    texts: list[str]
    """The text that it stands in."""

    def __len__(self) -> int:
        return len(self.entities)

    def value(self, at: int) -> str:
        """What was found, full-width characters made narrow."""
        return narrow(self.texts[at][self.starts[at] : self.ends[at]])

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
    also: Iterable[Found] = (),
) -> Findings:  # fmt: skip
    """What the entities find; ``also`` are findings of a model."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    looked_at = _candidates(texts, known)
    scanned = _Joined(looked_at, texts.take(pa.array(looked_at)).to_pylist())
    found = list(also)
    for entity in known:
        found.extend(scanned.matches(entity, reserved=reserved))
    found = resolved(found)
    rows = np.fromiter((one[0] for one in found), np.int64, len(found))
    own, place = np.unique(rows, return_inverse=True)
    strings = texts.take(pa.array(own)).to_pylist()
    return Findings(
        rows=rows,
        starts=[one[1] for one in found],
        ends=[one[2] for one in found],
        entities=[SPECIFICITY[one[4]] for one in found],
        texts=[strings[at] for at in place.tolist()],
    )


def narrow(text: str) -> str:
    """The text with full-width characters made narrow; as long as before."""
    if text.isascii():
        return text
    # Few of them occur in a text, and replacing one by one of the same length is far faster than translating all.
    for wide in set(_WIDE.findall(text)):
        text = text.replace(wide, _NARROW[wide])
    return text


class _Joined:
    """Texts scanned as one: a pattern runs through all of them without a loop over rows."""

    def __init__(self, rows: Integers, texts: list[str]) -> None:
        self._rows = rows
        self._text = narrow(ROW_END.join(texts))
        lengths = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
        self._offsets = np.cumsum(lengths) - lengths
        self._taken: set[tuple[int, int]] = set()

    def matches(self, entity: StructuralEntity, *, reserved: bool) -> Iterator[Found]:
        """What the entity finds; of those that yield, after all others."""
        candidates = entity.pattern.finditer(self._text)
        if entity.yields:
            candidates = (match for match in candidates if match.span() not in self._taken)
        spans = [span for match in candidates if (span := entity.check(match)) is not None]
        self._taken.update((start, end) for start, end, sure in spans if sure >= SURE)
        if not reserved:
            spans = [span for span in spans if not entity.reserved(self._text[span[0] : span[1]])]
        if not spans:
            return iter(())
        starts, ends, sure = np.array(spans, np.int64).T
        at = np.searchsorted(self._offsets, starts, side="right") - 1
        offsets = self._offsets[at]
        rank = [SPECIFICITY.index(entity.name)] * len(spans)
        return zip(
            self._rows[at].tolist(), (starts - offsets).tolist(), (ends - offsets).tolist(), sure.tolist(), rank,
            strict=True,
        )  # fmt: skip


def _candidates(texts: pa.Array, known: Sequence[StructuralEntity]) -> Integers:
    """Indices of the texts that have the cue of any entity: Python sees no others."""
    if not known:
        return np.zeros(0, np.int64)
    return _matching(texts, "|".join(dict.fromkeys(f"(?:{entity.cue})" for entity in known)))


def _matching(texts: pa.Array, pattern: str) -> Integers:
    found = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    return np.flatnonzero(found.to_numpy(zero_copy_only=False))

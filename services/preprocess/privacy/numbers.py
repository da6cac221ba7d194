"""Personal data that is a whole number: which columns hold some, and which of their values are.

A number has no form and no words around it, and one in ten passes a check digit by chance. So a column of numbers is
treated for a kind of personal data only where

- its name says that it holds that kind (``phone``, ``card_no``, ``SSN``, 手机, 身份证) and no measure of it
  (``phone_minutes``, ``card_amount``, ``phone_id``), or
- more than half of its first values (``number_samples``) are of that kind.

The column's name is read as the word before each of its numbers, and a finding is all of a number. Knows Arrow; nothing
of Daft or datasets.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.preprocess.privacy.findings import Findings, find
from tidemill.contracts.privacy import STRUCTURAL, EntityName, Treatment

SHARE = 0.5
"""A kind of which more than this share of a column's values are is what the column holds."""
_EXACT = float(1 << 53)
"""Below it floating-point numbers are exact."""
_WHOLE = r"^[0-9]{7,20}$"
_NAMES: Mapping[EntityName, re.Pattern[str]] = {
    "phone": re.compile(r"\b(phones?|mobile|cell|cellphone|tel|telephone|telefon|handy|mobil|fax|whatsapp)\b"
                        r"|手机|电话|座机|联系方式"),
    "payment_card": re.compile(r"\b(cards?|creditcard|cardnumber|cardno|pan|kreditkarte|kartennummer)\b"
                               r"|卡号|银行卡|信用卡"),
    "us_ssn": re.compile(r"\b(ssn|ssnumber|social security)\b"),
    "uk_nhs": re.compile(r"\bnhs\b"),
    "cn_resident_id": re.compile(r"\b(resident id|id card|idcard|sfz)\b|身份证"),
    "de_tax_id": re.compile(r"\b(tax id|steuer id|steuerid|idnr|tin|steuernummer)\b"),
}  # fmt: skip
_MEASURE = re.compile(
    r"\b(ids?|count|amount|price|cost|revenue|sales|total|sum|minutes|seconds|balance|limit|fee|charges?|usage|bytes|"
    r"time|timestamp|date)\b|金额|余额|次数|时长|数量|额度"
)
_MEASURED: frozenset[EntityName] = frozenset({"phone", "payment_card"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|[\W_]+")


@dataclass(frozen=True)
class NumberSample:
    """Of the first values of a column: how many are ``present``, and those that are whole numbers of 7 digits or more,
    as they are written."""

    present: int
    numbers: Sequence[str]


def kinds_in(
    name: str, sample: NumberSample | None, looked_for: Collection[EntityName], regions: Sequence[str]
) -> frozenset[EntityName]:
    """The kinds of personal data that the column of numbers holds, by the rule above; none of a column of others."""
    known = frozenset(looked_for) & frozenset(STRUCTURAL)
    kinds = _named(name) & known
    if sample is not None and known and sample.present:
        findings = _find(pa.array(sample.numbers, pa.string()), name, known, regions)
        counts = Counter(findings.entities[at] for at in _whole(findings, name))
        kinds |= {kind for kind, number in counts.items() if number > SHARE * sample.present}
    return kinds


def _named(name: str) -> frozenset[EntityName]:
    words = _words(name)
    named = frozenset(kind for kind, pattern in _NAMES.items() if pattern.search(words))
    return named - _MEASURED if _MEASURE.search(words) else named


def _words(name: str) -> str:
    return _CAMEL.sub(" ", name).strip().lower()


def as_written(values: pa.Array) -> pa.Array:
    """Whole numbers of 7 to 20 digits as texts, null for all others; ``values`` are numbers, or numbers as texts."""
    kind = values.type
    if pa.types.is_floating(kind):
        values = values.cast(pa.float64())
        whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), _EXACT))
        values = pc.if_else(pc.fill_null(whole, False), values, None).cast(pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return pa.nulls(len(values), pa.string())
    texts = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return pc.if_else(pc.match_substring_regex(pc.fill_null(texts, ""), _WHOLE), texts, pa.scalar(None, pa.string()))


@dataclass(frozen=True)
class NumberScan:
    """What is looked for in the column ``name``, which holds ``kinds``, and what happens to it."""

    name: str
    kinds: frozenset[EntityName]
    treatments: Mapping[EntityName, Treatment]
    """Of every kind that is looked for, in the texts too."""
    regions: tuple[str, ...]

    @property
    def type(self) -> pa.StructType:
        """Of what is given for each number."""
        flags = [("missing", pa.bool_()), ("drop", pa.bool_())]
        return pa.struct([*flags, *((name, pa.int32()) for name in self.treatments)])

    def __call__(self, values: pa.Array) -> pa.StructArray:
        """For each value whether it has to become missing, whether its row has to go, and findings by kind."""
        findings = _find(as_written(values), self.name, list(self.treatments), self.regions)
        found = [at for at in _whole(findings, self.name) if findings.entities[at] in self.kinds]
        rows = findings.rows[found]
        treatments = np.array([self.treatments[findings.entities[at]] for at in found], "U10")
        columns = [_at(rows[treatments != "keep"], len(values)), _at(rows[treatments == "drop"], len(values))]
        of_kind = np.array([findings.entities[at] for at in found], "U20")
        for name in self.treatments:
            counted = np.bincount(rows[of_kind == name], minlength=len(values))
            columns.append(pa.array(counted.astype(np.int32)))
        return pa.StructArray.from_arrays(columns, fields=list(self.type))


def numbers_left(
    values: pa.Array, name: str, kinds: Collection[EntityName], regions: Sequence[str]
) -> Counter[EntityName]:
    """Findings by kind in a column that holds ``kinds``; invented ones do not count."""
    findings = _find(as_written(values), name, kinds, regions, reserved=False)
    return Counter(findings.entities[at] for at in _whole(findings, name))


def _find(
    texts: pa.Array, name: str, looked_for: Collection[EntityName], regions: Sequence[str], *, reserved: bool = True
) -> Findings:
    known = [entity for entity in STRUCTURAL if entity in looked_for]
    led = pc.binary_join_element_wise(pa.scalar(_lead(name)), texts, "")
    return find(led, known, regions, reserved=reserved)


def _lead(name: str) -> str:
    words = _words(name)
    measured = bool(_MEASURE.search(words)) and not _named(name)
    return "" if measured or any(digit.isdigit() for digit in words) else f"{words}: "


def _whole(findings: Findings, name: str) -> list[int]:
    """Which findings are all of a number."""
    start = len(_lead(name))
    places = zip(findings.starts, findings.ends, findings.texts, strict=True)
    return [at for at, (first, last, text) in enumerate(places) if first == start and last == len(text)]


def _at(rows: npt.NDArray[np.int64], length: int) -> pa.Array:
    flags = np.zeros(length, bool)
    flags[rows] = True
    return pa.array(flags)

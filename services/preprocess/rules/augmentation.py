"""More training texts by small changes: random swap and random deletion of easy data augmentation (Wei and Zou 2019,
"EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks"), and back-translation
by a hook.

Units are words; Chinese and Japanese characters each count as one. A copy depends on the seed, the text, the number of
its row and its own number alone, so that it is the same however the rows are sharded.
"""

from __future__ import annotations

import hashlib
import random
import re

import numpy as np
import pyarrow as pa

from services.preprocess.change import ROW
from services.preprocess.rules.hooks import TextHook
from tidemill.contracts.preparation import TextAugmentation

_TRIES = 4
_CHARACTER = r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]"
_UNIT = re.compile(rf"(\s*)({_CHARACTER}|(?:(?!{_CHARACTER})\S)+)")
_IS_CHARACTER = re.compile(_CHARACTER)


def augment_texts(table: pa.Table, rule: TextAugmentation, column: str, hook: TextHook | None = None) -> pa.Table:
    """The changed copies alone: ``rule.copies`` of each row of ``table``, row by row, other columns as they are.

    ``table`` has the column ``__row`` (number of the row in its part). With ``hook`` the first copy of every text is
    its back-translation, unless that is blank or the text itself. A copy is never empty, and equal to its text only
    where nothing can be changed (one word; ``swap`` and ``delete`` of 0). Rows without a text have no copies.

    Raises:
        InvalidInput: the hook failed; names it.
    """
    table = table.filter(table[column].is_valid())
    texts, rows = table[column].to_pylist(), table[ROW].to_pylist()
    translated = hook(texts) if hook is not None else [""] * len(texts)
    copies = [
        translation if copy == 0 and translation.strip() and translation != text else changed(text, rule, row, copy)
        for text, row, translation in zip(texts, rows, translated, strict=True)
        for copy in range(rule.copies)
    ]
    repeated = table.take(pa.array(np.repeat(np.arange(len(texts)), rule.copies)))
    place = table.schema.get_field_index(column)
    return repeated.set_column(place, table.schema.field(place), pa.array(copies, table.schema.field(place).type))


def changed(text: str, rule: TextAugmentation, row: int, copy: int) -> str:
    """One changed copy of a text."""
    seed = hashlib.blake2b(f"{rule.seed}\0{row}\0{copy}\0{text}".encode("utf-8", "surrogatepass"), digest_size=8)
    chance = random.Random(int.from_bytes(seed.digest(), "big"))  # noqa: S311 - not for secrets
    found = _UNIT.findall(text)
    gaps, units = [gap for gap, _ in found], [unit for _, unit in found]
    if len(units) < 2 or not (rule.swap or rule.delete):
        return text
    for _ in range(_TRIES):
        kept = _deleted(list(range(len(units))), rule.delete, chance)
        copied = _written(_swapped(kept, rule.swap, chance), gaps, units)
        if copied != text:
            return copied
    return _least_change(text, rule, gaps, units, chance)


def _deleted(places: list[int], probability: float, chance: random.Random) -> list[int]:
    """Each place goes with the probability; one of them always stays."""
    if not probability:
        return places
    kept = [place for place in places if chance.random() >= probability]
    return kept or [places[_below(len(places), chance)]]


def _swapped(places: list[int], share: float, chance: random.Random) -> list[int]:
    """As many swaps of two places as the share of the units, at least one."""
    places = list(places)
    if share and len(places) > 1:
        for _ in range(max(1, round(share * len(places)))):
            first, other = _below(len(places), chance), _below(len(places) - 1, chance)
            other += other >= first
            places[first], places[other] = places[other], places[first]
    return places


def _least_change(text: str, rule: TextAugmentation, gaps: list[str], units: list[str], chance: random.Random) -> str:
    """Chance left the text as it is: the first change that shows, from a random place on."""
    places, start = list(range(len(units))), _below(len(units), chance)
    for step in places:
        place = (start + step) % len(units)
        if rule.delete:
            candidate = [other for other in places if other != place]
        else:
            candidate = list(places)
            other = next((other for other in places if units[other] != units[place]), place)
            candidate[place], candidate[other] = other, place
        copied = _written(candidate, gaps, units)
        if copied != text:
            return copied
    return text


def _written(places: list[int], gaps: list[str], units: list[str]) -> str:
    """The units in that order. Words are parted by a space, whatever was between those that stood there."""
    pieces: list[str] = []
    for number, place in enumerate(places):
        characters = [bool(_IS_CHARACTER.match(units[one])) for one in (places[number - 1], place)]
        gap = "" if number == 0 else gaps[number] if any(characters) else gaps[number] or " "
        pieces += [gap, units[place]]
    return "".join(pieces)


def _below(limit: int, chance: random.Random) -> int:
    # ``random()`` gives the same numbers in every version of Python; ``randrange`` and ``shuffle`` need not.
    return int(chance.random() * limit)

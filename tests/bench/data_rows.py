"""The rows that `make bench-data` prepares: a text and a label, dirty, repeated, with personal data, from a seed.

Of a hundred rows twelve hold personal data (three each an e-mail address, a phone number, a payment card, an IP
address), one more a card number whose check digit is wrong, ten have to be normalised, ten occurred before, fifteen are
Chinese. One in five hundred repeats a text with another label.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from tidemill.datasets import Column, DatasetSchema, PartWriter

SHARD_ROWS = 500_000
LABELS = ("billing", "delivery", "praise", "question", "other")
_OFTEN = 20_000
"""Texts that are repeated."""
_WRITTEN = 50_000
"""Rows that are made at once."""


def write_rows(dataset: Path, rows: int, seed: int) -> None:
    """An ingested dataset of ``rows`` rows, uncut, in shards of ``SHARD_ROWS``; the first rows of more are the same."""
    dataset.mkdir(parents=True)
    columns = [Column(name="text", kind="text", strings=True), Column(name="label", kind="category", strings=True)]
    roles = {"text": "text", "label": "label"}
    DatasetSchema(task="text-classification", roles=roles, columns=columns).write(dataset)
    often = _texts(random.Random(seed), _OFTEN)
    with PartWriter(dataset, "data", shard_rows=SHARD_ROWS) as writer:
        for first in range(0, rows, _WRITTEN):
            draw = random.Random(seed + 1 + first)
            count = min(_WRITTEN, rows - first)
            texts = _texts(draw, count)
            labels = draw.choices(LABELS, k=count)
            for row in range(count):
                if draw.random() < 0.1:
                    place = draw.randrange(_OFTEN)
                    texts[row], labels[row] = often[place], LABELS[place % len(LABELS)]
                    if draw.random() < 0.02:
                        labels[row] = draw.choice(LABELS)
            writer.write(pa.record_batch({"text": pa.array(texts), "label": pa.array(labels)}))


def _texts(draw: random.Random, count: int) -> list[str]:
    words = _vocabulary(draw)
    lengths = draw.choices(range(6, 25), k=count)
    drawn = iter(draw.choices(words, k=sum(lengths)))
    texts = [" ".join(next(drawn) for _ in range(length)).capitalize() + "." for length in lengths]
    for row in range(count):
        kind = draw.random()
        if kind < 0.15:
            texts[row] = "".join(draw.choices(_CHINESE, k=lengths[row])) + "。"
        if (what := draw.random()) < 0.13:
            texts[row] = _PERSONAL[int(what * 100)](draw, texts[row])
        if draw.random() < 0.1:
            texts[row] = draw.choice(_DIRT)(texts[row])
    return texts


def _vocabulary(draw: random.Random) -> list[str]:
    syllables = [first + second for first in "bcdfghklmnprstvw" for second in ("a", "e", "i", "o", "u", "an", "er")]
    words = ["".join(draw.choices(syllables, k=draw.choice((1, 2, 2, 3, 3, 4)))) for _ in range(8000)]
    return words + [word + "é" for word in words[:200]]


def _digits(draw: random.Random, count: int) -> str:
    return "".join(draw.choices("0123456789", k=count))


def _email(draw: random.Random, text: str) -> str:
    name = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=6))
    return f"{text[:-1]} {name}.{_digits(draw, 2)}@mail{_digits(draw, 2)}.{draw.choice(('com', 'org', 'de', 'cn'))}."


def _phone(draw: random.Random, text: str) -> str:
    area, line = (
        draw.choice(("212", "312", "415", "617")),
        f"{draw.choice('23456789')}{_digits(draw, 2)}-{_digits(draw, 4)}",
    )
    mobile = f"13{_digits(draw, 9)}"
    return draw.choice(
        (f"{text} +1 {area}-{line}", f"({area}) {line} {text}", f"{text}请拨打{mobile}联系", f"{text} +86 {mobile}")
    )


def _card(draw: random.Random, text: str) -> str:
    number = "4" + _digits(draw, 14)
    number += _check_digit(number)
    grouped = " ".join(number[place : place + 4] for place in range(0, 16, 4))
    return f"{text} {draw.choice((number, grouped))}"


def _wrong_card(draw: random.Random, text: str) -> str:
    number = "4" + _digits(draw, 14)
    return f"{text} {number}{(int(_check_digit(number)) + 5) % 10}"


def _address(draw: random.Random, text: str) -> str:
    return f"{text} {'.'.join(str(draw.randrange(1, 255)) for _ in range(4))} ."


def _check_digit(number: str) -> str:
    doubled = [int(digit) * 2 for digit in reversed(number)][::2]
    total = sum(value - 9 if value > 9 else value for value in doubled) + sum(map(int, number[-2::-2]))
    return str(-total % 10)


_CHINESE = [chr(0x4E00 + 11 * place) for place in range(1200)]
_PERSONAL: list[Callable[[random.Random, str], str]] = [_email, _phone, _card, _address] * 3 + [_wrong_card]
_DIRT: list[Callable[[str], str]] = [
    lambda text: f"  {text} ",
    lambda text: text.replace(" ", "  ", 2),
    lambda text: text.replace(" ", "\t", 1) + "\u3000",
    lambda text: text[:3] + "\u200b" + text[3:],
    lambda text: text[:5] + "\x07" + text[5:],
    lambda text: text + " cafe\u0301",
]

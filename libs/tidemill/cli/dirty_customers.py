"""An invented table of customers with the dirt of real ones, for the tutorials. Knows no platform.

The same seed gives the same bytes. Nobody in it exists: addresses are at example.com, telephone numbers are those that
Ofcom keeps for drama, and cards are test numbers.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from pathlib import Path

HEADER = ["customer", "name", "email", "age", "city", "plan", "joined", "message", "topic", "churned"]
ROWS = 600

_FIRST = ["Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "小红", "伟"]
_LAST = ["Arnold", "Berg", "Costa", "Duval", "Ek", "Fuchs", "Grau", "Hale", "Ito", "Jung", "王", "李"]
_CITIES = ["Bonn", "Cork", "Lyon", "上海"]
_PLANS = ["basic", "family", "business"]
_SENTENCES = {
    "billing": [
        "the invoice of last month shows a fee that nobody told me about",
        "I was charged twice for the same order and want the money back",
        "账单上有一笔我不认识的费用，请核对以后退款",
        "my discount is missing although the offer was valid until Friday",
    ],
    "delivery": [
        "the parcel arrived with a broken box and the kettle inside is dented",
        "nobody rang the bell and now the parcel is said to be at a shop far away",
        "包裹已经晚了三天，客服电话也没有人接听",
        "I moved house last week, so please send everything to the new address",
    ],
    "account": [
        "the page to change my password only shows an error since yesterday",
        "please close my account and confirm that all data about me was deleted",
        "登录以后页面一直是空白的，换了浏览器也一样",
        "I no longer have the phone that gets the codes and cannot sign in",
    ],
}
_OPENINGS = ["Hello,", "Good morning,", "Dear team,", "您好，", "Hi there,", "To whom it may concern,"]
_CLOSINGS = [
    "thank you",
    "please hurry",
    "I am waiting for an answer",
    "谢谢",
    "best wishes",
    "this is the second time",
]


def text(rows: int, seed: int) -> str:
    """The file: CSV with spaces behind its commas and ``?`` where a value is missing."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(HEADER)
    for fields in _rows(rows, random.Random(seed)):  # noqa: S311 - the same rows every time
        writer.writerow([fields[0], *(f" {field}" for field in fields[1:7]), *fields[7:]])
    return written.getvalue()


def write(path: Path, rows: int, seed: int) -> None:
    """Write the file to ``path``."""
    path.write_text(text(rows, seed), encoding="utf-8")


def _rows(rows: int, chance: random.Random) -> Iterator[list[str]]:
    earlier: list[list[str]] = []
    for number in range(1, rows + 1):
        if number % 25 == 0:  # somebody pressed the button twice
            yield earlier[-1]
            continue
        fields = _customer(number, chance)
        if number % 30 == 0:  # and wrote again, in nearly the same words
            fields = [*fields[:7], f"{earlier[-2][7]} !!", *earlier[-2][8:]]
        earlier.append(fields)
        yield fields[:6] if number % 199 == 0 else fields  # a line that was cut off


def _customer(number: int, chance: random.Random) -> list[str]:
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    age = chance.randint(18, 85)
    topic = chance.choice(sorted(_SENTENCES))
    body = chance.sample(_SENTENCES[topic], 2)
    contact = [
        f"write to customer.{number}@example.com",
        f"call +44 20 7946 0{number % 1000:03d}",
        "my card is 4111 1111 1111 1111",
        f"order {chance.randint(10_000, 99_999)}",
    ]
    message = " ".join(
        [chance.choice(_OPENINGS), *body, chance.choice(contact), f"reference {number}", chance.choice(_CLOSINGS)]
    )
    leaves = chance.random() < (0.5 if topic == "billing" else 0.2)
    return [
        str(number),
        f"{first} {last}",
        f"customer.{number}@example.com" if chance.random() > 0.1 else "?",
        "?" if chance.random() < 0.08 else "230" if number % 97 == 0 else str(age),
        chance.choice(_CITIES),
        "?" if chance.random() < 0.05 else chance.choice(_PLANS),
        f"20{chance.randint(15, 25)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
        f"<p>{message}</p>" if number % 7 == 0 else message,
        topic,
        "yes" if leaves else "no",
    ]

"""Personal data on a real platform: what the recipe protects is nowhere but in what was taken in as it was."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import Whole, start, stop
from tests.pipeline.tables import finished, prepared_rows, report_of
from tidemill.datasets import part_shards

ROWS = 400
RECIPE: dict[str, Any] = {
    "until": "prepared",
    "task": "text-classification",
    "data": {
        "text": "text",
        "label": "label",
        "on_bad_row": "quarantine",
        "text_rules": {"min_characters": 30},
        "near_duplicates": {"threshold": 0.8},
        "missing": {"columns": {"contact": "drop"}},
        "expected": {"columns": {"age": "integer"}},
    },
    "privacy": {"detect": "structural", "columns": {"name": "mask", "member": "generalise"}},
}
"""Rows go for every reason there is before and behind the step that treats personal data."""


_WORDS = (
    "kettle parcel blue broken late friendly shop window garden chair lamp paper river stone music bread butter",
    "morning evening driver address street bell door key glass water train ticket winter summer letter book",
)


class Secrets:
    """Invented people, and every value of theirs that must not be seen."""

    def __init__(self) -> None:
        self.values: set[str] = set()
        self._chance = random.Random(5)

    def person(self, number: int) -> dict[str, str]:
        person = {
            "email": f"ursula.k{number}@wiesen-{number % 9}.de",
            "phone": f"+49 30 {self._chance.randint(2_000_000, 9_999_999)}",
            "card": _with_luhn(f"4{self._chance.randint(10**13, 10**14 - 1)}"),
            "resident": _resident_id(f"1101011980{number % 12 + 1:02d}17{number % 900 + 100}"),
            "name": f"Ursula Kroeber-{number}",
            "member": str(730_000_000 + number),
        }
        self.values.update(person.values())
        return person

    def seen_in(self, text: str) -> list[str]:
        return [value for value in self.values if value in text]


def _with_luhn(digits: str) -> str:
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return digits + str(-sum(value - 9 * (value > 9) for value in doubled) % 10)


def _resident_id(digits: str) -> str:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return digits + "10X98765432"[sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=True)) % 11]


def rows(secrets: Secrets) -> Iterator[list[str]]:
    """Rows of which some are duplicates, near duplicates, contradictions, too short, without contact, or broken."""
    chance, words = random.Random(7), " ".join(_WORDS).split()
    yield ["text", "label", "contact", "name", "member", "age"]
    for number in range(ROWS):
        person = secrets.person(number)
        label = ("complaint", "praise")[number % 2]
        text = (
            f"{' '.join(chance.sample(words, 12))}, write to {person['email']} or call {person['phone']}, "
            f"the card was {person['card']}，身份证号{person['resident']}"
        )
        row = [text, label, person["email"], person["name"], person["member"], str(20 + number % 60)]
        yield row
        if number % 10 == 0:
            yield row
            yield [f"{text} please", *row[1:]]
            yield [f"mail {person['email']}", *row[1:]]
            yield [text, label, "?", *row[3:]]
        if number % 40 == 0:
            yield [*row[:5], person["email"]]
            yield [text, ("complaint", "praise")[1 - number % 2], *row[2:]]
            yield row[:3]


@pytest.fixture(scope="module")
def secrets() -> Secrets:
    return Secrets()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, secrets: Secrets) -> Path:
    path = tmp_path_factory.mktemp("people") / "letters.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows(secrets))
    return path


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    running = start(tmp_path_factory.mktemp("platform"))
    yield running
    stop(running)


@pytest.fixture(scope="module")
def run_id(platform: Whole, source: Path) -> str:
    run = platform.client.publish(source, name="letters", recipe=RECIPE)
    return finished(run.wait(timeout=120)).run_id


def test_nothing_of_it_is_in_the_prepared_dataset(
    platform: Whole, run_id: str, secrets: Secrets, tmp_path: Path
) -> None:
    prepared = prepared_rows(platform, run_id, tmp_path)
    assert len(prepared) > 300
    assert not secrets.seen_in(" ".join(str(row) for row in prepared))
    assert all("<EMAIL>" in row["text"] and "<PHONE>" in row["text"] for row in prepared)
    assert all("<CN_RESIDENT_ID>" in row["text"] for row in prepared)
    folder = platform.artifact(platform.prepared(run_id).dataset, tmp_path)
    shards = {shard for part in part_shards(folder).values() for shard in part}
    described = [path for path in folder.rglob("*") if path.is_file() and path not in shards]
    assert {path.name for path in described} == {"schema.json", "labels.json", "features.json", "statistics.json"}
    assert not secrets.seen_in(_text_of(described))


def test_nothing_of_it_is_in_the_report(platform: Whole, run_id: str, secrets: Secrets) -> None:
    report = report_of(platform, run_id)
    removed = {step["name"]: step["removed"] for step in report["statistics"]["steps"] if step["removed"]}
    assert len(removed) >= 4, "the rows of this test go for many reasons"
    assert report["intake"]["bad_rows"]["rows"] == 20
    assert report["statistics"]["pairs"]
    assert not secrets.seen_in(str(report))
    assert not secrets.seen_in(platform.client.data_report(run_id))
    before = {column["name"]: column for column in report["before"]["columns"]}
    assert set(before["contact"]["values"]) == {"<EMAIL>"}
    assert (before["name"]["values"], before["member"]["numbers"]) == ({}, None)
    assert report["personal_left"] == dict.fromkeys(report["personal_left"], 0)


def test_what_drifted_against_the_version_before_shows_nothing_of_it(
    platform: Whole, run_id: str, source: Path, secrets: Secrets, tmp_path: Path
) -> None:
    path = tmp_path / "fewer.csv"
    path.write_text("".join(source.read_text(encoding="utf-8").splitlines(keepends=True)[:120]), encoding="utf-8")
    view = finished(platform.client.publish(path, name="letters", recipe=RECIPE).wait(timeout=60))
    report = report_of(platform, view.run_id)
    assert report["intake"]["drift"] is not None
    assert not secrets.seen_in(str(report) + platform.client.data_report(view.run_id))


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"on_bad_row": "fail"}},
        {"data": {"on_bad_row": "drop", "expected": {"columns": {"contact": "integer"}}}},
        {"data": {"on_bad_row": "fail", "expected": {"columns": {"contact": "integer"}}}},
        {"data": {"types": {"columns": {"contact": "number"}, "on_bad_value": "fail"}}},
        {"data": {"bounds": {"contact": {"allowed": ["nobody"], "action": "fail"}}}},
        {"data": {"split": {"method": "time", "time": "contact"}}},
        {"data": {"label": "contact"}},
    ],
    ids=["bad row", "mostly bad", "not expected", "bad value", "out of bounds", "no times", "labels"],
)
def test_a_run_that_fails_says_nothing_of_it(
    platform: Whole, source: Path, secrets: Secrets, changes: dict[str, Any]
) -> None:
    recipe = RECIPE | {"data": RECIPE["data"] | changes["data"]}
    view = platform.client.publish(source, name="failing", recipe=recipe).wait(timeout=60)
    assert view.state == "failed"
    assert view.error
    assert not secrets.seen_in(view.error)


def test_nothing_of_it_is_in_logs_traces_records_and_messages(platform: Whole, run_id: str, secrets: Secrets) -> None:
    folder = platform.data_dir
    told = [
        path
        for part in ("logs", "telemetry", "store/records", "nats", "registry.db", "platform.json")
        for path in ([folder / part] if (folder / part).is_file() else (folder / part).rglob("*"))
        if path.is_file()
    ]
    assert len(told) > 30
    assert not secrets.seen_in(_text_of(told))
    for command in (["runs", "show", run_id], ["runs", "list"], ["dead", "list"], ["trace", run_id]):
        assert not secrets.seen_in(platform.cli(*command).stdout)


def _text_of(paths: Iterable[Path]) -> str:
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in paths)

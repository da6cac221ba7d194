"""What is asked of the platform while it is hurt: datasets, recipes, the fate of each run; all drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.faults.behaviour import NUMBERS
from tests.pipeline.conftest import reviews, write_csv

Way = Literal["gateway-1", "gateway-2", "bare"]
Fate = Literal["plain", "slow", "poison", "cancel", "cancel-and-retry"]

STAGES = ("ingest", "preprocess", "train", "compress")
ROWS = 90


@dataclass(frozen=True)
class Order:
    """One run to be published. ``stage`` is where it is slow, poisoned or cancelled."""

    name: str
    dataset: int
    fate: Fate
    stage: str
    way: Way
    epochs: int

    @property
    def recipe(self) -> dict[str, Any]:
        """A recipe whose numbers tell the replicas how its jobs behave: a job knows no names."""
        told = "poison" if self.fate == "poison" else "plain" if self.fate == "plain" else "slow"
        numbers = {stage: NUMBERS[told if stage == self.stage else "plain"] for stage in STAGES}
        return {
            "goal": {"metric": "accuracy"},
            "data": {"split": {"seed": numbers["preprocess"]}},
            "model": {
                "from_scratch": {"layers": 1, "hidden_size": 16, "heads": 2, "vocabulary": 300},
                "max_length": 16,
            },
            "training": {
                "epochs": self.epochs, "learning_rate": 0.01, "batch_size": 32, "early_stopping": 0,
                "seed": numbers["train"], "weight_decay": numbers["ingest"] / 1e6,
            },
            "compression": {"candidates": ["onnx-fp32"], "calibration_examples": numbers["compress"]},
        }  # fmt: skip

    def write(self, folder: Path) -> Path:
        """The dataset's file; made once."""
        path = folder / f"dataset-{self.dataset}.csv"
        if not path.exists():
            write_csv(path, reviews(ROWS, seed=self.dataset))
        return path


def draw_orders(seed: int, count: int, *, slow_epochs: int) -> list[Order]:
    """``count`` runs: most plain, one in five a repetition of an earlier one, some slow, cancelled or poisoned."""
    chance = random.Random(f"orders {seed}")
    orders: list[Order] = []
    fates = _fates(chance)
    for number in range(count):
        plain = [order for order in orders if order.fate in ("plain", "slow")]
        way: Way = chance.choice(["gateway-1", "gateway-2", "gateway-1", "gateway-2", "bare"])
        if plain and number % 5 == 4:
            before = chance.choice(plain[-6:])
            orders.append(Order(before.name, before.dataset, before.fate, before.stage, way, before.epochs))
            continue
        fate = next(fates)
        stage = (
            chance.choice(STAGES) if fate == "poison" else chance.choice(("train", "train", "compress", "preprocess"))
        )
        epochs = slow_epochs if fate not in ("plain", "poison") and stage == "train" else 2
        name = f"{fate}-{stage}-{number}" if fate != "plain" else f"plain-{number}"
        orders.append(Order(name, seed * 10_000 + number, fate, stage, way, epochs))
    return orders


def _fates(chance: random.Random) -> Iterator[Fate]:
    first: list[Fate] = ["plain", "slow", "poison", "cancel-and-retry", "slow", "cancel"]
    yield from first
    while True:
        yield chance.choices(["plain", "slow", "poison", "cancel", "cancel-and-retry"], [10, 5, 1, 1, 1])[0]

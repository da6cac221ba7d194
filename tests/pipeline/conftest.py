"""The whole platform for tests: `tidemill up` on free ports in a folder of its own, ended with the module."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tidemill
from tidemill.artifacts import open_store
from tidemill.client import Platform
from tidemill.contracts import ArtifactRef, DatasetIngested, DatasetPrepared, Event, StageName
from tidemill.platform.data_dir import DataDir, PlatformRecord
from tidemill.records import open_records
from tidemill.stage.announced import announced

TINY: dict[str, Any] = {
    "model": {"from_scratch": {"layers": 1, "hidden_size": 32, "heads": 2, "vocabulary": 400}, "max_length": 32},
    "training": {"epochs": 4, "learning_rate": 0.005, "batch_size": 32},
    "compression": {"candidates": ["onnx-fp32", "onnx-int8"], "calibration_examples": 32},
}
"""A recipe whose stages take seconds: a one-layer encoder from scratch."""

_GOOD = ["great", "lovely", "superb", "很好", "喜欢", "wonderful"]
_BAD = ["awful", "broken", "terrible", "糟糕", "讨厌", "useless"]
_FILLER = [
    "the",
    "a",
    "this",
    "product",
    "phone",
    "kettle",
    "水壶",
    "arrived",
    "yesterday",
    "with",
    "its",
    "cable",
    "and",
    "box",
]


@dataclass
class Whole:
    """A running platform, its folder and its client."""

    data_dir: Path
    client: Platform
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def record(self) -> PlatformRecord:
        """What `platform.json` says now."""
        record = DataDir(self.data_dir).record()
        assert record is not None
        return record

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The `tidemill` command, on this platform."""
        done = subprocess.run(
            [sys.executable, "-m", "tidemill.cli", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def document(self, *arguments: str) -> Any:
        """The one JSON document that a command prints with `--json`."""
        return json.loads(self.cli(*arguments, "--json").stdout)

    def announced(self, run_id: str, stage: StageName) -> Event:
        """What a stage of a run announced."""
        record = asyncio.run(open_records(self.record.store_url).stage("default", run_id, stage))
        assert record is not None, f"run {run_id} has not passed {stage}"
        return announced(record)

    def prepared(self, run_id: str) -> DatasetPrepared:
        """What preprocess announced."""
        event = self.announced(run_id, "preprocess")
        assert isinstance(event, DatasetPrepared)
        return event

    def ingested(self, run_id: str) -> DatasetIngested:
        """What ingest announced."""
        event = self.announced(run_id, "ingest")
        assert isinstance(event, DatasetIngested)
        return event

    def artifact(self, ref: ArtifactRef, into: Path) -> Path:
        """The files of an artifact, read where the platform keeps them, in a folder of its own in ``into``."""
        store = open_store(self.record.store_url, cache=into / "cache")
        return asyncio.run(store.fetch(ref, into / ref.digest.removeprefix("sha256:")[:12]))

    def jobs(self, run_id: str, stage: str) -> list[dict[str, Any]]:
        """Spans of the jobs of a stage that were worked in this run, in their order."""
        spans = self.document("trace", run_id)["spans"]
        plans = (f"{stage} plan", f"{stage} join")
        found = [one for one in spans if one["name"].split(" ")[0] == stage and one["name"] not in plans]
        return sorted(found, key=lambda one: one["start_ns"])

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal one of the platform's processes, e.g. ``trainer-1``; returns its process id."""
        process = next(one for one in self.record.processes if one.name.startswith(name))
        assert process.identity is not None
        os.kill(process.identity.pid, number)
        return process.identity.pid


def start(folder: Path, *options: str, ack_wait: str = "PT3S") -> Whole:
    """`tidemill up --detach` in ``folder``."""
    environment = os.environ | {"TIDEMILL_DATA_DIR": str(folder), "TIDEMILL_ACK_WAIT": ack_wait}
    done = subprocess.run(
        [sys.executable, "-m", "tidemill.cli", "up", "--detach", "--port", "0", *options],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return Whole(folder, tidemill.connect(data_dir=folder), environment)


def stop(whole: Whole) -> None:
    """`tidemill down`, and nothing is left."""
    whole.client.close()
    whole.cli("down", check=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    running = start(tmp_path_factory.mktemp("platform"))
    yield running
    stop(running)


def reviews(rows: int = 240, seed: int = 1, noise: float = 0.0) -> list[tuple[str, str]]:
    """Texts in two languages whose words tell the label; ``noise`` is the share of wrong labels."""
    chance = random.Random(seed)
    made: dict[str, str] = {}
    while len(made) < rows:
        label = chance.choice(["positive", "negative"])
        telling = chance.sample(_GOOD if label == "positive" else _BAD, 2)
        words = telling + chance.sample(_FILLER, 5) + [str(chance.randint(0, 999))]
        chance.shuffle(words)
        if chance.random() < noise:
            label = "negative" if label == "positive" else "positive"
        made[" ".join(words)] = label
    return list(made.items())


def write_csv(path: Path, rows: Sequence[tuple[str, str]], header: Sequence[str] = ("text", "label")) -> Path:
    """A CSV file of ``rows``."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path

"""Prepared datasets made on the spot, the spec of a small training, and a report that remembers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from tidemill.contracts import ArtifactRef, DatasetPrepared
from tidemill.datasets import PartWriter

SIZES = {"train": 240, "validation": 60, "test": 60}
TOPICS = {
    "en": {"bank": "refund money card payment account fee", "weather": "rain sun cloud storm wind snow"},
    "zh": {"天气": "下雨 晴天 多云 台风 降温 暴雪", "银行": "退款 转账 信用卡 余额 手续费 存款"},
}
FILLER = {"en": "the a is of my it today please", "zh": "今天 我 的 请问 了 是 吗 一下"}


def write_dataset(directory: Path, *, language: str = "en", sizes: Mapping[str, int] = SIZES) -> list[str]:
    """What preprocess leaves: two labels, told apart by their words. Returns the labels."""
    labels = list(TOPICS[language])
    joint = "" if language == "zh" else " "
    directory.mkdir(parents=True, exist_ok=True)
    for number, (part, size) in enumerate(sizes.items()):
        chance = random.Random(number)
        rows = []
        for row in range(size):
            label = labels[row % 2]
            words = TOPICS[language][label].split() + FILLER[language].split()
            keyword = chance.choice(TOPICS[language][label].split())
            rows.append(
                {"text": joint.join([*chance.choices(words, k=chance.randint(2, 12)), keyword]), "label": label}
            )
        batch = pa.RecordBatch.from_pylist([{**row, "row": index} for index, row in enumerate(rows, 1)])
        with PartWriter(directory, part, shard_rows=100) as writer:
            writer.write(batch)
    (directory / "labels.json").write_text(json.dumps(labels, ensure_ascii=False), encoding="utf-8")
    return labels


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("prepared")
    write_dataset(directory)
    return directory


@pytest.fixture
def prepared() -> Callable[..., DatasetPrepared]:
    """The event that announces such a dataset."""

    def make(**changes: object) -> DatasetPrepared:
        reference = ArtifactRef(digest="sha256:" + "d" * 64, kind="dataset", size_bytes=1000)
        fields: dict[str, object] = {
            "run_id": "run-1",
            "name": "topics",
            "recipe": reference.model_copy(update={"kind": "recipe"}),
            "ingested": reference,
            "dataset": reference,
            "task": "text-classification",
            "parts": dict(SIZES),
            "labels": ["bank", "weather"],
        }
        return DatasetPrepared.model_validate(fields | changes)

    return make


class Recorder:
    """A report that keeps what it is told; asks to stop once the fraction ``stop_at`` was reported."""

    def __init__(self, keep: Path | None = None, stop_at: float | None = None) -> None:
        self.fractions: list[float] = []
        self.messages: list[str] = []
        self.metrics: list[dict[str, float]] = []
        self.checkpoints: list[Path] = []
        self._keep = keep
        self._stop_at = stop_at

    @property
    def stop_requested(self) -> bool:
        return self._stop_at is not None and bool(self.fractions) and self.fractions[-1] >= self._stop_at

    def progress(self, fraction: float | None, message: str = "", metrics: Mapping[str, float] | None = None) -> None:
        if fraction is not None:
            self.fractions.append(fraction)
        self.messages.append(message)
        self.metrics.append(dict(metrics or {}))

    keeps_steps = False

    def step(self, number: int, directory: Path) -> None:
        raise AssertionError("training has no steps to keep")

    def checkpoint(self, directory: Path) -> None:
        assert self._keep is not None
        kept = self._keep / str(len(self.checkpoints))
        # The store hands checkpoints back as its own read-only files: keep a copy, as the caller deletes its own.
        kept.mkdir(parents=True)
        for path in directory.iterdir():
            (kept / path.name).write_bytes(path.read_bytes())
        self.checkpoints.append(kept)


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture
def write() -> Callable[..., list[str]]:
    return write_dataset

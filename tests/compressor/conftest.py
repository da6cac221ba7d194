"""A tiny BERT that has learned three topics in English and Chinese, as training leaves it, and its dataset."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from services.compressor.spec import CompressionSpec
from tidemill.contracts import ArtifactRef
from tidemill.contracts.recipe import Compression, FromScratch, Goal
from tidemill.datasets import PartWriter
from tidemill.modelpack import Lineage, Metrics, ModelPackage, PackageWriter
from tidemill.tasks.text_classification import training as task
from tidemill.tasks.text_classification.metrics import evaluate_logits
from tidemill.texts import TextPreparation

TOPICS = {
    "银行": "退款 转账 信用卡 余额 手续费 money refund account card",
    "weather": "rain storm sunny cloud 下雨 晴天 台风 降温",
    "旅行": "机票 酒店 护照 行李 flight hotel passport luggage",
}
FILLER = "the my today please 请问 我 的 今天"
SIZES = {"train": 240, "validation": 60, "test": 60}
MAX_LENGTH = 32
DATASET = ArtifactRef(digest="sha256:" + "d" * 64, kind="dataset", size_bytes=1000)
TRAINED = ArtifactRef(digest="sha256:" + "a" * 64, kind="model", size_bytes=1000)


@pytest.fixture(scope="session")
def rows() -> dict[str, list[tuple[str, str]]]:
    """Text and label of every row by part."""
    chance = random.Random(5)
    return {part: [_row(chance, number) for number in range(size)] for part, size in SIZES.items()}


@pytest.fixture(scope="session")
def dataset(rows: dict[str, list[tuple[str, str]]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What preprocess leaves."""
    directory = tmp_path_factory.mktemp("dataset")
    for part, pairs in rows.items():
        columns = {"text": [text for text, _ in pairs], "label": [label for _, label in pairs]}
        with PartWriter(directory, part, shard_rows=50) as writer:
            writer.write(pa.record_batch(columns))
    (directory / "labels.json").write_text(json.dumps(list(TOPICS), ensure_ascii=False), encoding="utf-8")
    return directory


@pytest.fixture(scope="session")
def trained(rows: dict[str, list[tuple[str, str]]], tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """What training leaves."""
    folder = tmp_path_factory.mktemp("trained")
    return _write_package(folder / "model", folder / "tokenizer", rows)


@pytest.fixture
def spec() -> CompressionSpec:
    return CompressionSpec(
        compression=Compression(calibration_examples=40),
        goal=Goal(metric="accuracy"),
        task="text-classification",
        trained=TRAINED,
    )


def _row(chance: random.Random, number: int) -> tuple[str, str]:
    label = list(TOPICS)[number % len(TOPICS)]
    words = [*chance.choices(TOPICS[label].split(), k=2), *chance.choices(FILLER.split(), k=chance.randint(0, 9))]
    chance.shuffle(words)
    return " ".join(words), label


def _write_package(directory: Path, scratch: Path, rows: dict[str, list[tuple[str, str]]]) -> ModelPackage:
    torch.manual_seed(0)
    labels = list(TOPICS)
    tokenizer = task.new_tokenizer([text for text, _ in rows["train"]], 400, MAX_LENGTH)
    # Wide enough that its weights, and not the graph around them, are what a variant's size is made of.
    model = task.new_model(FromScratch(layers=1, hidden_size=128, heads=4), tokenizer, labels, MAX_LENGTH)

    def logits(part: str, chosen: Sequence[int]) -> torch.Tensor:
        texts = [rows[part][row][0] for row in chosen]
        return model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for step in range(25):
        chosen = np.random.default_rng(step).choice(SIZES["train"], 32, replace=False).tolist()
        target = torch.tensor([labels.index(rows["train"][row][1]) for row in chosen])
        torch.nn.functional.cross_entropy(logits("train", chosen), target).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    figures = {}
    for part in ("validation", "test"):
        truth = [labels.index(label) for _, label in rows[part]]
        with torch.no_grad():
            figures[part] = evaluate_logits(labels, truth, logits(part, range(SIZES[part])).numpy(), part)
    tokenizer.save_pretrained(scratch)
    writer = PackageWriter(directory)
    writer.tokenizer(scratch)
    with writer.variant("torch-fp32", format="safetensors", precision="fp32", entry="model.safetensors") as target:
        model.save_pretrained(target)
    preparation = TextPreparation(strip_html=True, normalize=True, stop_words=("en",))
    writer.signature(task.signature(tokenizer, labels, MAX_LENGTH, "torch-fp32", preparation=preparation))
    writer.metrics(Metrics(validation=figures["validation"], test=figures["test"]))
    writer.lineage(Lineage(dataset=DATASET, base="scratch", parts=SIZES, revision=1))
    return writer.finish()

"""A model that was trained on prepared texts is asked raw ones, and answers as it would to the prepared."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import daft
import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from services.preprocess.python_calls import with_columns
from services.preprocess.rules import row_steps
from services.trainer.stage import plan
from services.trainer.training import train
from tidemill.contracts import DatasetPrepared
from tidemill.contracts.recipe import Recipe, parse_recipe
from tidemill.datasets import Column, DatasetSchema, PartWriter
from tidemill.jobs.report import Inputs, SilentReport
from tidemill.modelpack import ModelPackage
from tidemill.tasks.text_classification.serving import TextEncoder, predictions

TOPICS = {
    "bank": ["refund", "card", "退款", "余额", "payment", "转账"],
    "weather": ["rain", "下雨", "storm", "cloud", "台风", "snow"],
}
SIZES = {"train": 240, "validation": 60, "test": 60}
RECIPE = {
    "data": {"text_rules": {"strip_html": True, "lowercase": True, "remove_stop_words": ["en", "zh"]}},
    "model": {"from_scratch": {"layers": 1, "hidden_size": 32, "heads": 2, "vocabulary": 300}, "max_length": 24},
    "training": {"epochs": 3, "batch_size": 16, "learning_rate": 5e-3, "precision": "fp32"},
}


def raw_texts(part: str, count: int) -> tuple[list[str], list[str]]:
    """Pages that shout: a word of the topic among markup, scripts and words that say nothing."""
    chance, labels = random.Random(part), [list(TOPICS)[row % 2] for row in range(count)]
    texts = []
    for label in labels:
        first, second = chance.choices(TOPICS[label], k=2)
        texts.append(
            f"<div class='rain'><script>refund('card')</script><p>The {first.upper()} is what we <b>HAVE</b>"
            f"&nbsp;{chance.choice(['and', '我们的', 'of the'])} {second.title()}</p>  &lt;3 </div>"
        )
    return texts, labels


def prepared_by_preprocess(texts: Sequence[str], labels: Sequence[str], recipe: Recipe) -> pa.Table:
    columns = [Column(name="text", kind="text", strings=True), Column(name="label", kind="category", strings=True)]
    schema = DatasetSchema(task="text-classification", roles={"text": "text", "label": "label"}, columns=columns)
    frame = daft.from_arrow(pa.table({"text": list(texts), "label": list(labels)}))
    for step in row_steps(recipe.data, schema):
        frame = with_columns(frame, step.change({column.name: column for column in columns}).columns)
    return frame.to_arrow()


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return parse_recipe(RECIPE)


@pytest.fixture(scope="module")
def dataset(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("prepared")
    for part, size in SIZES.items():
        table = prepared_by_preprocess(*raw_texts(part, size), recipe)
        with PartWriter(directory, part, shard_rows=1000) as writer:
            for batch in table.to_batches():
                writer.write(batch)
    (directory / "labels.json").write_text(json.dumps(list(TOPICS)))
    return directory


def test_raw_requests_get_the_answers_of_their_prepared_texts(
    recipe: Recipe, dataset: Path, prepared: Callable[..., DatasetPrepared], tmp_path: Path
) -> None:
    [job] = plan(prepared(), recipe)
    train(
        job.spec, Inputs({"dataset": dataset}), tmp_path, SilentReport(),
        revision=1, checkpoint_every=timedelta(hours=1), threads=1,
    )  # fmt: skip
    package = ModelPackage.open(tmp_path / "model")
    tokenization = package.signature.tokenization
    assert tokenization is not None
    assert tokenization.stop_words == ("en", "zh")
    model = AutoModelForSequenceClassification.from_pretrained(package.variant_dir("torch-fp32")).eval()

    def ask(texts: Sequence[str], *, as_prepared: bool = False) -> list[dict[str, Any]]:
        encode = TextEncoder(package.directory / tokenization.file, tokenization, prepared=as_prepared)
        with torch.inference_mode():
            logits = model(**{name: torch.from_numpy(array) for name, array in encode(texts).items()}).logits
        return predictions(logits.numpy(), package.signature.labels)

    raw, labels = raw_texts("test", SIZES["test"])
    answers = ask(raw)
    assert answers == ask(prepared_by_preprocess(raw, labels, recipe)["text"].to_pylist(), as_prepared=True)
    assert np.mean([one["label"] == label for one, label in zip(answers, labels, strict=True)]) > 0.9
    assert answers != ask(raw, as_prepared=True), "without the rules the model would be asked something else"

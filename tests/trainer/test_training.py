"""A training job at its edge: a prepared dataset goes in, a model package and figures come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from services.trainer import pretrained
from services.trainer.spec import Fold, TrainingResult, TrainingSpec
from services.trainer.stage import plan
from services.trainer.training import train
from tidemill.contracts import DatasetPrepared
from tidemill.contracts.recipe import parse_recipe
from tidemill.errors import CorruptArtifact, HandedBack, InvalidInput
from tidemill.jobs.report import Inputs
from tidemill.modelpack import ModelPackage

TINY = {
    "model": {"from_scratch": {"layers": 1, "hidden_size": 32, "heads": 2, "vocabulary": 300}, "max_length": 24},
    "training": {"epochs": 3, "batch_size": 16, "learning_rate": 5e-3, "precision": "fp32"},
}

Prepared = Callable[..., DatasetPrepared]


def _spec(event: DatasetPrepared, **sections: dict[str, Any]) -> TrainingSpec:
    recipe = {name: {**TINY.get(name, {}), **sections.get(name, {})} for name in {*TINY, *sections}}
    return plan(event, parse_recipe(recipe))[0].spec


def _train(
    spec: TrainingSpec,
    dataset: Path,
    output: Path,
    report: Any,
    checkpoint: Path | None = None,
    every: timedelta = timedelta(hours=1),
) -> TrainingResult:
    output.mkdir(parents=True, exist_ok=True)
    return train(
        spec, Inputs({"dataset": dataset}, checkpoint), output, report, revision=1, checkpoint_every=every, threads=1
    )


def test_a_dataset_becomes_a_package_that_transformers_can_load(
    dataset: Path, prepared: Prepared, tmp_path: Path, recorder: Any
) -> None:
    report = recorder()
    result = _train(_spec(prepared()), dataset, tmp_path, report)

    assert result.evaluation.part == "test"
    assert result.evaluation.metrics["accuracy"] > 0.9
    assert result.validation.examples == 60
    package = ModelPackage.open(tmp_path / "model")
    package.verify()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"], "no scratch is left"
    assert package.metrics.test == result.evaluation
    assert package.signature.labels == ["bank", "weather"]
    assert package.signature.serving_variant == "torch-fp32"
    assert package.signature.tokenization is not None
    assert package.signature.tokenization.max_length == 24
    assert package.lineage.base == "scratch"
    assert package.lineage.parts == {"train": 240, "validation": 60, "test": 60}
    assert json.loads((package.tokenizer_dir / "tokenizer.json").read_text())["truncation"] is None

    model = AutoModelForSequenceClassification.from_pretrained(package.variant_dir("torch-fp32"))
    tokenizer = AutoTokenizer.from_pretrained(package.tokenizer_dir)
    with torch.inference_mode():
        logits = model(**tokenizer(["refund my payment", "snow and rain"], padding=True, return_tensors="pt")).logits
    assert [model.config.id2label[int(best)] for best in logits.argmax(dim=1)] == ["bank", "weather"]

    assert report.fractions == sorted(report.fractions)
    assert report.fractions[-1] == 1.0
    assert any(message.startswith("epoch 2 of 3 · loss ") and "macro F1" in message for message in report.messages)
    assert any("validation_macro_f1" in metrics for metrics in report.metrics)


def test_a_chinese_dataset_works_as_well(prepared: Prepared, tmp_path: Path, recorder: Any, write: Any) -> None:
    labels = write(tmp_path / "data", language="zh")
    result = _train(_spec(prepared(labels=labels)), tmp_path / "data", tmp_path / "out", recorder())
    assert result.evaluation.metrics["accuracy"] > 0.9
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out/model/tokenizer")
    assert tokenizer.tokenize("请问手续费") == list("请问手续费")
    assert "天气, 银行" in (tmp_path / "out/model/README.md").read_text(encoding="utf-8")


def test_minilm_is_fine_tuned_offline(prepared: Prepared, tmp_path: Path, recorder: Any, write: Any) -> None:
    write(tmp_path / "data", sizes={"train": 160, "validation": 16, "test": 40})
    spec = _spec(
        prepared(), model={"base": "minilm", "from_scratch": None}, training={"epochs": 1, "learning_rate": 2e-4}
    )
    result = _train(spec, tmp_path / "data", tmp_path / "out", recorder())
    assert result.steps == 10
    assert result.evaluation.metrics["accuracy"] > 0.9
    package = ModelPackage.open(tmp_path / "out/model")
    assert package.lineage.base == "minilm"
    assert package.lineage.base_digest == pretrained.resolve("minilm").digest


@pytest.mark.parametrize("stop_at", [0.1, 0.5], ids=["before the first evaluation", "later"])
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(
    dataset: Path, prepared: Prepared, tmp_path: Path, recorder: Any, stop_at: float
) -> None:
    spec = _spec(prepared())
    whole = _train(spec, dataset, tmp_path / "whole", recorder())

    first = recorder(keep=tmp_path / "kept", stop_at=stop_at)
    with pytest.raises(HandedBack):
        _train(spec, dataset, tmp_path / "first", first)
    (checkpoint,) = first.checkpoints
    assert not list(checkpoint.glob("training_args*")), "a pickle of arguments has no place in a checkpoint"
    resumed = _train(spec, dataset, tmp_path / "second", recorder(), checkpoint)

    assert resumed.steps == whole.steps
    assert resumed.epochs == whole.epochs
    assert resumed.losses == whole.losses, "the curve goes on unbroken"
    assert resumed.evaluation == whole.evaluation


def test_a_checkpoint_at_the_end_of_an_epoch_keeps_its_evaluation(
    dataset: Path, prepared: Prepared, tmp_path: Path, recorder: Any
) -> None:
    spec = _spec(prepared())
    # A checkpoint after every step, those at the end of an epoch among them.
    report = recorder(keep=tmp_path / "kept")
    whole = _train(spec, dataset, tmp_path / "whole", report, every=timedelta(0))
    states = [json.loads((kept / "trainer_state.json").read_text()) for kept in report.checkpoints]
    at_the_end = next(kept for kept, state in zip(report.checkpoints, states, strict=True) if state["epoch"] == 1.0)
    resumed = _train(spec, dataset, tmp_path / "second", recorder(), at_the_end)
    assert resumed.epochs == whole.epochs
    assert resumed.evaluation == whole.evaluation


def test_a_killed_training_repeats_the_steps_since_its_last_checkpoint_and_its_curve_is_unbroken(
    dataset: Path, prepared: Prepared, tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.trainer.loop._CURVE_POINTS", 12)  # a point for every three of the 45 steps
    spec = _spec(prepared())
    whole = _train(spec, dataset, tmp_path / "whole", recorder())
    assert [point.step for point in whole.losses] == list(range(3, 46, 3))

    class Killed(BaseException):
        pass

    class Victim(recorder):  # type: ignore[misc]
        def checkpoint(self, directory: Path) -> None:
            if len(self.checkpoints) == 19:
                raise Killed
            super().checkpoint(directory)

    victim = Victim(keep=tmp_path / "kept")
    with pytest.raises(Killed):
        _train(spec, dataset, tmp_path / "first", victim, every=timedelta(0))
    state = json.loads((victim.checkpoints[-1] / "trainer_state.json").read_text())
    assert state["global_step"] == 19, "in the second epoch, and between two points of the curve"
    resumed = _train(spec, dataset, tmp_path / "second", recorder(), victim.checkpoints[-1])

    assert [point.step for point in resumed.losses] == [point.step for point in whole.losses], "no gap, nothing twice"
    assert [point.loss for point in resumed.losses] == pytest.approx([point.loss for point in whole.losses])
    assert resumed.epochs == whole.epochs
    assert resumed.evaluation == whole.evaluation


def test_training_stops_early_and_keeps_the_best_weights(
    prepared: Prepared, tmp_path: Path, recorder: Any, write: Any
) -> None:
    write(tmp_path / "data")
    spec = _spec(prepared(), training={"epochs": 12, "early_stopping": 2, "learning_rate": 2e-2})
    result = _train(spec, tmp_path / "data", tmp_path / "out", recorder())
    assert len(result.epochs) < 12
    best = max(figures.metrics["macro_f1"] for figures in result.epochs)
    assert result.validation.metrics["macro_f1"] == pytest.approx(best)
    assert next(f for f in result.epochs if f.epoch == result.best_epoch).metrics["macro_f1"] == best


def test_a_fold_is_judged_on_what_it_holds_out_and_leaves_no_model(
    dataset: Path, prepared: Prepared, tmp_path: Path, recorder: Any
) -> None:
    spec = _spec(prepared(), training={"epochs": 1}).model_copy(update={"fold": Fold(index=2, of=5)})
    result = _train(spec, dataset, tmp_path, recorder())
    assert result.evaluation.part == "fold 2"
    assert result.evaluation.examples == 60
    assert not list(tmp_path.iterdir())


def test_a_training_that_diverges_says_so(dataset: Path, prepared: Prepared, tmp_path: Path, recorder: Any) -> None:
    spec = _spec(prepared())
    wild = spec.model_copy(update={"training": spec.training.model_copy(update={"learning_rate": 1e30})})
    with pytest.raises(InvalidInput, match=r"lower training\.learning_rate"):
        _train(wild, dataset, tmp_path, recorder())


def test_bad_datasets_are_named(prepared: Prepared, tmp_path: Path, recorder: Any, write: Any) -> None:
    write(tmp_path / "data")
    (tmp_path / "data/validation/00000.parquet").write_bytes(b"no parquet")
    with pytest.raises(CorruptArtifact, match=r"validation/00000\.parquet cannot be read"):
        _train(_spec(prepared()), tmp_path / "data", tmp_path / "out", recorder())
    write(tmp_path / "data")
    (tmp_path / "data/labels.json").write_text('["bank", "sports"]')
    with pytest.raises(InvalidInput, match=r"row 1: label 'weather' is not in labels\.json"):
        _train(_spec(prepared()), tmp_path / "data", tmp_path / "out", recorder())


def test_predictions_come_back_in_the_order_of_the_texts(dataset: Path, prepared: Prepared, tmp_path: Path) -> None:
    from tidemill.contracts.recipe import FromScratch
    from tidemill.tasks.text_classification import training as task

    texts = ["rain", "refund my card please now", "storm wind", "fee"]
    tokenizer = task.new_tokenizer(texts, 200, 16)
    model = task.new_model(FromScratch(layers=1, hidden_size=8), tokenizer, ["a", "b"], 16)
    encoded = task.encode(tokenizer, texts, np.zeros(4, dtype=np.int64), 16)
    collator = task.Collator(tokenizer.pad_token_id)
    together = task.predict_logits(model, encoded, collator, batch_size=2)
    for index in range(4):
        one = task.EncodedTexts([encoded.ids[index]], np.zeros(1, dtype=np.int64))
        assert task.predict_logits(model, one, collator)[0] == pytest.approx(together[index], abs=1e-5)

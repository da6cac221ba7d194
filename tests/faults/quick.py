"""Training and compression without torch: a bag of words, fitted with NumPy and served as ONNX like any other package.

Replicas that are killed all the time would spend most of the suite importing torch. What is tested here is the
machinery around the work; the same suite runs with the real work too (``--work real``).
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from services.compressor.spec import CompressionResult, CompressionSpec
from services.trainer.examples import Examples, read_dataset
from services.trainer.spec import EpochFigures, LossPoint, TrainingResult, TrainingSpec
from tidemill.contracts import EvaluationSummary, VariantFigures
from tidemill.errors import HandedBack
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.modelpack import Lineage, Metrics, ModelPackage, PackageWriter, Signature, Tensor, Tokenization
from tidemill.modelpack.runtime import open_session
from tidemill.tasks.text_classification.metrics import cross_entropy, evaluate_logits

VARIANT = "onnx-fp32"
EPOCH_SECONDS = 0.1
Floats = NDArray[np.float32]


def train(
    spec: TrainingSpec, inputs: Inputs, output: Path, report: ProgressReport, *, checkpoint_every: timedelta
) -> TrainingResult:
    """Fit word weights by gradient descent, an epoch every ``EPOCH_SECONDS``, with checkpoints; resumes from one."""
    dataset = read_dataset(inputs["dataset"])
    words = ["[PAD]", "[UNK]", *sorted({word for text in dataset.train.texts for word in text.split()})]
    place = {word: index for index, word in enumerate(words)}
    counts = {part: _counts(getattr(dataset, part), place) for part in ("train", "validation", "test")}
    weights, first, losses = _resumed(inputs, (len(words), len(dataset.labels)))
    epochs = int(spec.training.epochs)
    saved_at = time.monotonic()
    for epoch in range(first, epochs):
        logits = counts["train"] @ weights
        losses.append(float(cross_entropy(dataset.train.labels, logits)))
        weights = _step(weights, counts["train"], logits, dataset.train.labels)
        report.progress((epoch + 1) / epochs, f"epoch {epoch + 1} of {epochs}", {"loss": losses[-1]})
        if report.stop_requested or time.monotonic() - saved_at > checkpoint_every.total_seconds():
            _save(output, report, weights, epoch + 1, losses)
            saved_at = time.monotonic()
        if report.stop_requested:
            raise HandedBack("the worker leaves; the job goes on from its checkpoint")
        time.sleep(EPOCH_SECONDS)
    found = {
        part: evaluate_logits(dataset.labels, getattr(dataset, part).labels, counts[part] @ weights, part)
        for part in ("validation", "test")
    }
    _package(spec, output, dataset.labels, words, weights, found["validation"], found["test"])
    return TrainingResult(
        evaluation=found["test"], validation=found["validation"], steps=epochs, best_epoch=epochs,
        epochs=[EpochFigures(epoch=epochs, metrics=found["validation"].metrics)],
        losses=[LossPoint(step=step, loss=loss) for step, loss in enumerate(losses, 1)], precision="fp32", device="cpu",
    )  # fmt: skip


def compress(
    spec: CompressionSpec, inputs: Inputs, output: Path, report: ProgressReport, *, revision: int
) -> CompressionResult:
    """Time the one variant there is and write the package anew with its figures."""
    package = ModelPackage.open(inputs["model"])
    session = open_session(package.variant_dir(VARIANT), package.variants[VARIANT], threads=1, parallel=1)
    row = {name: np.ones((1, 8), np.int64) for name in ("input_ids", "attention_mask")}
    taken = []
    for number in range(20):
        if report.stop_requested:
            raise HandedBack("the worker leaves; there is nothing to resume")
        began = time.perf_counter()
        session.run(row)
        taken.append(1000 * (time.perf_counter() - began))
        report.progress(number / 20, "timing")
        time.sleep(0.02)
    figures = VariantFigures(
        variant=VARIANT, size_bytes=package.variants[VARIANT].size_bytes, p50_ms=float(np.median(taken)),
        p95_ms=float(np.quantile(taken, 0.95)), throughput=1000 / float(np.mean(taken)), threads=1,
        metrics=package.metrics.validation.metrics, test_metrics=package.metrics.test.metrics,
    )  # fmt: skip
    reason = "it is the only variant"
    writer = PackageWriter(output / "model")
    writer.tokenizer(package.tokenizer_dir)
    writer.copy_variant(package, VARIANT)
    writer.signature(package.signature)
    writer.metrics(package.metrics.model_copy(update={"variants": [figures], "choice": reason}))
    writer.lineage(package.lineage.model_copy(update={"trained": spec.trained, "revision": revision}))
    writer.finish()
    return CompressionResult(
        evaluation=package.metrics.test, original=figures, variants=[figures], chosen=VARIANT, reason=reason
    )


def _counts(part: Examples, place: dict[str, int]) -> Floats:
    counts = np.zeros((len(part), len(place)), np.float32)
    for row, text in enumerate(part.texts):
        for word in text.split():
            counts[row, place.get(word, 1)] += 1
    return counts


def _step(weights: Floats, counts: Floats, logits: Floats, labels: NDArray[np.int64]) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = shifted / shifted.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    return (weights - counts.T @ error / len(labels)).astype(np.float32)


def _resumed(inputs: Inputs, shape: tuple[int, int]) -> tuple[Floats, int, list[float]]:
    if inputs.checkpoint is None:
        return np.zeros(shape, np.float32), 0, []
    with np.load(inputs.checkpoint / "state.npz") as state:
        return state["weights"], int(state["epoch"]), [float(loss) for loss in state["losses"]]


def _save(output: Path, report: ProgressReport, weights: Floats, epoch: int, losses: list[float]) -> None:
    folder = output / f"checkpoint-{epoch}"
    folder.mkdir()
    np.savez(folder / "state.npz", weights=weights, epoch=epoch, losses=np.array(losses))
    report.checkpoint(folder)


def _package(
    spec: TrainingSpec, output: Path, labels: list[str], words: list[str], weights: Floats,
    validation: EvaluationSummary, test: EvaluationSummary,
) -> None:  # fmt: skip
    source = output / "tokenizer"
    source.mkdir()
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(source / "tokenizer.json"))
    writer = PackageWriter(output / "model")
    writer.tokenizer(source)
    with writer.variant(VARIANT, format="onnx", precision="fp32", entry="model.onnx") as target:
        onnx.save(_graph(weights), str(target / "model.onnx"))
    writer.signature(
        Signature(
            task=spec.task, labels=labels,
            inputs=[Tensor(name=name, dtype="int64", shape=[-1, -1]) for name in ("input_ids", "attention_mask")],
            outputs=[Tensor(name="logits", dtype="float32", shape=[-1, len(labels)])],
            tokenization=Tokenization(max_length=spec.max_length, pad_id=0, pad_token="[PAD]"),
            serving_variant=VARIANT,
        )
    )  # fmt: skip
    writer.metrics(Metrics(validation=validation, test=test))
    writer.lineage(Lineage(dataset=spec.dataset, base="bag of words", recipe=spec.recipe_sections, revision=1))
    writer.finish()


def _graph(weights: Floats) -> Any:
    constants = {"weights": weights, "last": np.array([-1], np.int64), "words": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Gather", ["weights", "input_ids"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["each", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "words"], ["logits"], keepdims=0),
    ]
    names = ("input_ids", "attention_mask")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "s"]) for name in names]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", weights.shape[1]])]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "words", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

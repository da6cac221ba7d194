"""Fits a text classifier and leaves its package. The domain function of the stage; knows no bus and no store.

Importing this module takes seconds (torch, transformers), so only the job's child process does it.
"""

from __future__ import annotations

import logging
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import transformers

from services.trainer import pretrained
from services.trainer.examples import Examples, PreparedDataset, hold_out, read_dataset
from services.trainer.hardware import Device, Hardware, choose
from services.trainer.loop import Checkpoints, Fitted, fit
from services.trainer.spec import TrainingResult, TrainingSpec
from tidemill.contracts import EvaluationSummary
from tidemill.errors import InvalidInput
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.modelpack import Lineage, Metrics, PackageWriter, Signature
from tidemill.tasks.text_classification import training as task
from tidemill.tasks.text_classification.metrics import evaluate_logits
from tidemill.telemetry import span

VARIANT = "torch-fp32"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


class _Scaled:
    """A report for the training loop, whose steps are the middle of the job."""

    def __init__(self, report: ProgressReport, start: float, end: float) -> None:
        self._report, self._start, self._end = report, start, end
        self.checkpoint = report.checkpoint
        self.step = report.step

    @property
    def keeps_steps(self) -> bool:
        return self._report.keeps_steps

    def progress(self, fraction: float | None, message: str = "", metrics: Any = None) -> None:
        share = None if fraction is None else self._start + fraction * (self._end - self._start)
        self._report.progress(share, message, metrics)

    @property
    def stop_requested(self) -> bool:
        return self._report.stop_requested


def train(
    spec: TrainingSpec,
    inputs: Inputs,
    output: Path,
    report: ProgressReport,
    *,
    revision: int,
    checkpoint_every: timedelta,
    device: Device = "auto",
    threads: int | None = None,
) -> TrainingResult:
    """Fit a model on ``inputs["dataset"]`` and leave its package in ``output/model``; a fold leaves figures only.

    ``revision`` of the stage goes into the lineage. The other keywords do not change the result.

    Raises:
        InvalidInput: the dataset, the base model or the hyperparameters cannot be used; says what to change.
        TransientError: the base model cannot be downloaded now.
        HandedBack: the worker is leaving; a checkpoint has been handed over.
    """
    transformers.logging.set_verbosity(logging.ERROR)
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    hardware = choose(device, spec.training.precision, threads)
    report.progress(0.0, "reading the dataset")
    dataset = read_dataset(inputs["dataset"])
    if spec.fold is not None:
        dataset = hold_out(dataset, spec.fold, spec.training.seed)
    with tempfile.TemporaryDirectory(dir=output, prefix=".scratch-") as scratch:
        with span("load model"):
            job = _Job(spec, dataset, hardware, Path(scratch), inputs.checkpoint)
        try:
            with span("fit", examples=len(dataset.train.texts)):
                fitted = job.fit(_Scaled(report, 0.02, 0.92), checkpoint_every)
        except torch.cuda.OutOfMemoryError:
            raise InvalidInput(
                f"the GPU has too little memory for training.batch_size {spec.training.batch_size} at "
                f"model.max_length {spec.max_length}; lower one of them"
            ) from None
        report.progress(0.92, "evaluating on the validation part")
        with span("evaluate"):
            validation = job.evaluate(dataset.validation, "validation")
            report.progress(0.94, f"evaluating on the {dataset.held_out} part")
            evaluation = job.evaluate(dataset.test, dataset.held_out)
        if spec.fold is None:
            report.progress(0.98, "writing the model package")
            with span("package"):
                job.package(output / "model", Metrics(validation=validation, test=evaluation), revision)
    report.progress(1.0, "done", {f"{dataset.held_out}_{spec.goal}": evaluation.metrics[spec.goal]})
    return TrainingResult(
        evaluation=evaluation,
        validation=validation,
        epochs=fitted.epochs,
        losses=fitted.losses,
        steps=fitted.steps,
        best_epoch=fitted.best_epoch,
        precision=hardware.precision,
        device=hardware.name,
    )


class _Job:
    """Tokenizer, model and dataset of one training job, from the same seed every time."""

    def __init__(
        self,
        spec: TrainingSpec,
        dataset: PreparedDataset,
        hardware: Hardware,
        scratch: Path,
        checkpoint: Path | None,
    ) -> None:
        self._spec = spec
        self._dataset = dataset
        self._hardware = hardware
        self._scratch = scratch
        self._checkpoint = checkpoint
        transformers.set_seed(spec.training.seed)
        if spec.from_scratch is not None:
            self.tokenizer = task.new_tokenizer(dataset.train.texts, spec.from_scratch.vocabulary, spec.max_length)
            self.model = task.new_model(spec.from_scratch, self.tokenizer, dataset.labels, spec.max_length)
        else:
            if spec.base is None:
                raise InvalidInput("the job names neither a base model nor one to build from scratch")
            folder = pretrained.obtain(spec.base)
            self.tokenizer = task.load_tokenizer(folder)
            self.model = task.load_model(folder, dataset.labels)
        self.max_length = task.usable_length(self.model, self.tokenizer, spec.max_length)
        self._collator = task.Collator(self.tokenizer.pad_token_id)

    def fit(self, report: ProgressReport, every: timedelta) -> Fitted:
        return fit(
            self.model,
            self._encoded(self._dataset.train),
            self._encoded(self._dataset.validation),
            self._collator,
            plan=self._spec.training,
            goal=self._spec.goal,
            hardware=self._hardware,
            scratch=self._scratch,
            checkpoints=Checkpoints(every, self._checkpoint),
            report=report,
        )

    def evaluate(self, part: Examples, name: str) -> EvaluationSummary:
        logits = task.predict_logits(self.model, self._encoded(part), self._collator)
        return evaluate_logits(self._dataset.labels, part.labels, logits, name)

    def package(self, directory: Path, metrics: Metrics, revision: int) -> None:
        writer = PackageWriter(directory)
        tokenizer = self._scratch / "tokenizer"
        self.tokenizer.save_pretrained(tokenizer)
        for extra in tokenizer.iterdir():
            if extra.name not in _TOKENIZER_FILES:
                extra.unlink()
        writer.tokenizer(tokenizer)
        with writer.variant(VARIANT, format="safetensors", precision="fp32", entry="model.safetensors") as target:
            self.model.cpu().save_pretrained(target)
        writer.signature(self._signature())
        writer.metrics(metrics)
        base = self._spec.base
        writer.lineage(
            Lineage(
                dataset=self._spec.dataset,
                base=base.name if base else "scratch",
                base_digest=(base.digest or base.revision) if base else None,
                parts=self._dataset.sizes,
                recipe=self._spec.recipe_sections,
                revision=revision,
            )
        )
        writer.finish()

    def _signature(self) -> Signature:
        return task.signature(self.tokenizer, self._dataset.labels, self.max_length, VARIANT, preparation=self._spec)

    def _encoded(self, part: Examples) -> task.EncodedTexts:
        return task.encode(self.tokenizer, part.texts, part.labels, self.max_length)

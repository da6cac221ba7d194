"""transformers' Trainer, taught what this house needs: early stopping on the goal, best weights, resumable checkpoints.

Knows nothing of recipes, datasets on disk or packages. A checkpoint directory holds what the Trainer writes (weights
as safetensors; optimizer, schedule and random states, which it reads with ``weights_only``) and this module's own
``progress.json`` and ``best.safetensors``.
"""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import safetensors.torch
from pydantic import BaseModel, ConfigDict
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from services.trainer.curves import curves, kept_metrics
from services.trainer.hardware import Hardware
from services.trainer.spec import EpochFigures, Hyperparameters, LossPoint
from tidemill.errors import HandedBack, InvalidInput
from tidemill.jobs.report import ProgressReport
from tidemill.tasks.text_classification.metrics import goal_metrics
from tidemill.tasks.text_classification.training import Collator, EncodedTexts, LengthGroupedSampler

_PROGRESS_FILE = "progress.json"
_BEST_FILE = "best.safetensors"
_CURVE_POINTS = 200
_NEEDED = (
    _PROGRESS_FILE,
    "model.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
)


class Progress(BaseModel):
    """What survives an interruption beside the Trainer's own state."""

    # Before the first evaluation both figures are infinite, which plain JSON cannot say.
    model_config = ConfigDict(ser_json_inf_nan="constants")

    goal: float = -math.inf
    loss: float = math.inf
    best_epoch: float = 0.0
    stale_epochs: int = 0
    """Epochs since the goal metric was better than ever."""


@dataclass(frozen=True)
class Fitted:
    """How the training went; the model holds the best weights."""

    epochs: list[EpochFigures]
    losses: list[LossPoint]
    steps: int
    best_epoch: float


@dataclass(frozen=True)
class Checkpoints:
    """When to save, and what an earlier attempt saved."""

    every: timedelta
    resume_from: Path | None = None

    @property
    def usable(self) -> Path | None:
        """The checkpoint to go on from; None when there is none or it is not whole."""
        if self.resume_from is None or any(not (self.resume_from / name).is_file() for name in _NEEDED):
            return None
        return self.resume_from


def fit(
    model: Any,
    train: EncodedTexts,
    validation: EncodedTexts,
    collator: Collator,
    *,
    plan: Hyperparameters,
    goal: str,
    hardware: Hardware,
    scratch: Path,
    checkpoints: Checkpoints,
    report: ProgressReport,
) -> Fitted:
    """Fit ``model`` in place and leave the weights that were best on ``validation`` in it.

    Raises:
        HandedBack: the worker is leaving; a checkpoint has been handed over.
        InvalidInput: the loss is not a number any more.
    """
    steps_per_epoch = math.ceil(len(train) / plan.batch_size)
    total = math.ceil(plan.epochs * steps_per_epoch)
    watch = _Watch(goal, plan, steps_per_epoch, total, scratch, checkpoints.every, report)
    trainer = _OrderedTrainer(
        LengthGroupedSampler([len(ids) for ids in train.ids], plan.batch_size, plan.seed),
        model=model,
        args=_arguments(plan, hardware, scratch, total),
        train_dataset=train,
        eval_dataset=validation.by_length(),
        data_collator=collator,
        compute_metrics=lambda output: goal_metrics(output.label_ids, output.predictions),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    resume = checkpoints.usable
    if resume is not None:
        watch.restore(resume)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    # The Trainer leaves its autocast around the forward pass; what is evaluated is the fp32 model as packaged.
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    watch.load_best(model)
    epochs, losses = curves(trainer.state.log_history, int(trainer.args.logging_steps))
    return Fitted(epochs, losses, trainer.state.global_step, watch.progress.best_epoch)


class _OrderedTrainer(Trainer):
    """A Trainer that takes its examples in the order of the given sampler."""

    def __init__(self, sampler: LengthGroupedSampler, **settings: Any) -> None:
        self._sampler = sampler
        super().__init__(**settings)

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        return self._sampler

    def floating_point_ops(self, inputs: Any) -> int:
        """Zero: nobody reads the count, and the Trainer walks over all parameters in every step for it."""
        return 0


class _Watch(TrainerCallback):
    """Follows the loop: reports, keeps the best weights, stops early, saves checkpoints, leaves when asked to."""

    def __init__(
        self,
        goal: str,
        plan: Hyperparameters,
        steps_per_epoch: int,
        total: int,
        scratch: Path,
        every: timedelta,
        report: ProgressReport,
    ) -> None:
        self.progress = Progress()
        self._goal = goal
        self._plan = plan
        self._steps_per_epoch = steps_per_epoch
        self._total = total
        self._scratch = scratch
        self._every = every.total_seconds()
        self._report = report
        self._saved_at = time.monotonic()
        self._loss: float | None = None
        self._last_goal: float | None = None
        self._best_is_current = False

    def restore(self, checkpoint: Path) -> None:
        """Take over what a checkpoint says about the epochs before."""
        self.progress = Progress.model_validate_json((checkpoint / _PROGRESS_FILE).read_bytes())
        if (checkpoint / _BEST_FILE).is_file():
            shutil.copyfile(checkpoint / _BEST_FILE, self._scratch / _BEST_FILE)

    def load_best(self, model: Any) -> None:
        """Put the best weights into ``model``, where they are not there already."""
        if not self._best_is_current and (self._scratch / _BEST_FILE).is_file():
            safetensors.torch.load_model(model, self._scratch / _BEST_FILE)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._best_is_current = False
        self._report.progress(state.global_step / self._total, self._message(state.global_step))
        boundary = state.global_step % self._steps_per_epoch == 0 or state.global_step >= self._total
        # At an epoch's end the evaluation comes first: a checkpoint before it would lose it on resume.
        if not boundary and self._checkpoint_is_due():
            control.should_log = control.should_save = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        over = state.global_step >= self._total
        if self._report.stop_requested or (not over and self._checkpoint_is_due()):
            control.should_log = control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        logs: dict[str, float] = given["logs"]
        if "loss" in logs:
            self._loss = logs["loss"]
            self._report.progress(
                state.global_step / self._total,
                self._message(state.global_step),
                {"loss": logs["loss"], "learning_rate": logs["learning_rate"]},
            )

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        metrics: dict[str, float] = given["metrics"]
        goal, loss = metrics[f"eval_{self._goal}"], metrics["eval_loss"]
        if not math.isfinite(loss):
            raise InvalidInput(
                f"training diverged: the validation loss after {state.epoch:.3g} epochs is {loss}; lower "
                f"training.learning_rate (now {self._plan.learning_rate:g})"
            )
        self._last_goal = goal
        self.progress.stale_epochs = 0 if goal > self.progress.goal else self.progress.stale_epochs + 1
        # Small validation parts tie often: the lower loss is the better model then.
        if (goal, -loss) > (self.progress.goal, -self.progress.loss):
            self.progress.goal, self.progress.loss, self.progress.best_epoch = goal, loss, state.epoch
            safetensors.torch.save_model(given["model"], str(self._scratch / _BEST_FILE))
            self._best_is_current = True
        figures = {name.replace("eval_", "validation_"): metrics[name] for name in kept_metrics(metrics)}
        self._report.progress(state.global_step / self._total, self._message(state.global_step), figures)
        if 0 < self._plan.early_stopping <= self.progress.stale_epochs:
            control.should_training_stop = True
            control.should_save = False

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (checkpoint / "training_args.bin").unlink()  # a pickle that nobody reads
        (checkpoint / _PROGRESS_FILE).write_text(self.progress.model_dump_json(), encoding="utf-8")
        if (self._scratch / _BEST_FILE).is_file():
            shutil.copyfile(self._scratch / _BEST_FILE, checkpoint / _BEST_FILE)
        self._report.checkpoint(checkpoint)
        shutil.rmtree(checkpoint)
        self._saved_at = time.monotonic()
        if self._report.stop_requested:
            raise HandedBack(f"stopped after step {state.global_step} of {self._total}; the checkpoint is saved")

    def _checkpoint_is_due(self) -> bool:
        return self._report.stop_requested or time.monotonic() - self._saved_at >= self._every

    def _message(self, step: int) -> str:
        epoch = max(1, math.ceil(step / self._steps_per_epoch))
        parts = [f"epoch {epoch} of {self._plan.epochs:g}"]
        if self._loss is not None:
            parts.append(f"loss {self._loss:.2f}")
        if self._last_goal is not None:
            parts.append(f"{self._goal.replace('_f1', ' F1')} {self._last_goal:.3f}")
        return " · ".join(parts)


def _arguments(plan: Hyperparameters, hardware: Hardware, scratch: Path, total: int) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=plan.epochs,
        per_device_train_batch_size=plan.batch_size,
        per_device_eval_batch_size=max(plan.batch_size, 64),
        learning_rate=plan.learning_rate,
        weight_decay=plan.weight_decay,
        warmup_steps=plan.warmup,
        lr_scheduler_type="cosine",
        optim="adamw_torch_fused",
        bf16=hardware.bf16,
        use_cpu=hardware.device == "cpu",
        seed=plan.seed,
        data_seed=plan.seed,
        eval_strategy="epoch",
        save_strategy="no",
        logging_steps=max(1, total // _CURVE_POINTS),
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        dataloader_pin_memory=hardware.device == "cuda",
        remove_unused_columns=False,
        label_names=["labels"],
    )
    if arguments.n_gpu > 1:
        # One job, one GPU: the Trainer would split every batch over all that it sees.
        arguments._n_gpu = 1
    return arguments

"""The curves of a training, from the Trainer's log: the same whether or not it was interrupted. Knows no torch."""

from __future__ import annotations

from services.trainer.spec import EpochFigures, LossPoint


def curves(history: list[dict[str, float]], every: int) -> tuple[list[EpochFigures], list[LossPoint]]:
    """The figures of every epoch, and the training loss over each ``every`` steps, from the Trainer's log."""
    epochs = [
        EpochFigures(
            epoch=entry["epoch"], metrics={name.removeprefix("eval_"): entry[name] for name in kept_metrics(entry)}
        )
        for entry in history
        if "eval_loss" in entry
    ]
    return epochs, _regular(
        [LossPoint(step=int(entry["step"]), loss=entry["loss"]) for entry in history if "loss" in entry], every
    )


def _regular(points: list[LossPoint], every: int) -> list[LossPoint]:
    """One point for every ``every`` steps: the ones that checkpoints add in between are averaged into the next."""
    kept: list[LossPoint] = []
    parts: list[tuple[int, float]] = []
    before = 0
    for point in points:
        parts.append((point.step - before, point.loss))
        before = point.step
        if point.step % every == 0:
            loss = point.loss if len(parts) == 1 else sum(n * loss for n, loss in parts) / sum(n for n, _ in parts)
            kept.append(LossPoint(step=point.step, loss=loss))
            parts.clear()
    return kept


def kept_metrics(metrics: dict[str, float]) -> list[str]:
    """The names of the figures in ``metrics`` that are kept of an evaluation."""
    return [f"eval_{name}" for name in ("accuracy", "macro_f1", "weighted_f1", "loss") if f"eval_{name}" in metrics]

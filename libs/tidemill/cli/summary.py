"""How a run ended: the screen that a person wants, and the document that a script wants. Knows views, no platform."""

from __future__ import annotations

import json
import shlex
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tidemill.cli.figures import duration, ratio, share, size
from tidemill.contracts import VariantFigures
from tidemill.contracts.queries import RunView, StageView

_BAR_CELLS = 30
_TITLES = {"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1", "auc": "AUC"}


def as_document(view: RunView, endpoint: str) -> dict[str, Any]:
    """The document of ``publish --wait --json``. ``metrics`` are on the test part everywhere.

    A run that ends with its prepared dataset has neither ``model`` nor ``endpoint``.
    """
    return {
        "run_id": view.run_id,
        "state": view.state,
        "dataset": view.name,
        "model": None if ends_prepared(view) else view.model or view.name,
        "version": view.version,
        "endpoint": endpoint if serves(view) else None,
        "promoted": view.promoted,
        "reason": view.reason,
        "error": view.error,
        "error_stage": view.error_stage,
        "seconds": view.seconds,
        "metrics": view.metrics,
        "cross_validation": view.cross_validation.model_dump() if view.cross_validation else None,
        "original": _variant(view.original),
        "compressed": _variant(view.compressed),
        "stages": [
            {
                "name": one.name,
                "state": one.state,
                "seconds": one.seconds,
                "cached": one.cached,
                "jobs": one.jobs,
                "cost": one.cost,
            }
            for one in view.stages
        ],
        "usage": view.usage.model_dump(),
        "cost": view.cost.model_dump() if view.cost else None,
        "rows": view.rows,
        "bad_rows": view.bad_rows,
        "labels": view.labels,
        "trace_id": view.trace_id,
        "created_at": view.created_at.isoformat(),
    }


def serves(view: RunView) -> bool:
    """Whether the run has ended with a version of a model, which can be called."""
    return view.state == "finished" and view.version is not None


def ends_prepared(view: RunView) -> bool:
    """Whether the run has ended with its prepared dataset, as its recipe wanted it (``until: prepared``)."""
    return view.state == "finished" and view.version is None


def _variant(figures: VariantFigures | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    document = figures.model_dump(mode="json")
    tested = document.pop("test_metrics")
    validated = document.pop("metrics")
    return document | {"metrics": tested or validated, "validation_metrics": validated}


def summary(view: RunView, endpoint: str, hint: str = "") -> RenderableType:
    """The screen: quality, size and speed before and after, where the time went, the address to call.

    ``hint`` goes behind the commands that it names: ``" --data-dir DIR"``.
    """
    parts: list[RenderableType] = ["", _headline(view)]
    if view.metrics:
        parts += ["", _quality(view)]
    if view.original is not None and view.compressed is not None:
        parts += ["", _compression(view.original, view.compressed)]
    if any(stage.seconds for stage in view.stages):
        parts += ["", _time(view)]
    if view.usage.attempts:
        parts += ["", f"[dim]{account(view)}[/dim]"]
    if view.bad_rows:
        parts += ["", _left_out(view, hint)]
    if serves(view):
        parts += ["", _calling(endpoint)]
    elif ends_prepared(view):
        parts += ["", f"[dim]what was done to the data:[/dim] tidemill datasets report {view.run_id}{hint}"]
    elif view.state in ("failed", "cancelled"):
        parts += ["", f"[dim]start it again where it stopped:[/dim] tidemill runs retry {view.run_id}{hint}"]
    return Group(*parts)


def _left_out(view: RunView, hint: str) -> str:
    rows = "row" if view.bad_rows == 1 else "rows"
    see = f"tidemill datasets report {view.run_id}{hint}"
    if view.quarantined:
        see = f"tidemill datasets fetch {view.run_id} --what quarantine --to FOLDER{hint}"
    return f"[yellow]{view.bad_rows:,} {rows} could not be read and were left out:[/yellow] {see}"


def account(view: RunView) -> str:
    """What a run used and cost, in one line, tries that came to nothing included."""
    used = [f"{duration(view.usage.cpu_seconds)} of processor time"]
    if view.usage.gpu_seconds:
        used.append(f"{duration(view.usage.gpu_seconds)} of GPU time")
    used.append(f"at most {size(view.usage.peak_memory_bytes)} of memory")
    cost = f"; cost {view.cost}" if view.cost is not None else ""
    tries = f" in {view.usage.attempts} tries of jobs" if view.usage.attempts > 1 else ""
    return f"used {', '.join(used)}{tries}{cost}"


def _headline(view: RunView) -> str:
    name = f"[bold]{escape(view.model or view.name)}[/bold]"
    took = f" in {duration(view.seconds)}" if view.seconds is not None else ""
    if view.state == "finished":
        if view.version is None:
            return f"[green]finished[/green]{took}: dataset {name}, {escape(view.reason)}"
        place = "[green]is the champion and serves[/green]" if view.promoted else "[yellow]is not the champion[/yellow]"
        reason = f" ({escape(view.reason)})" if view.reason else ""
        return f"[green]finished[/green]{took}: {name} version {view.version} {place}{reason}"
    if view.state == "failed":
        where = f" in stage {view.error_stage}" if view.error_stage else ""
        return f"[red]failed[/red]{where}{took}: {escape(view.error or 'no reason is on record')}"
    why = f": {escape(view.reason or view.error or '')}".removesuffix(": ")
    return f"[yellow]{view.state}[/yellow]{took}{why}"


def _quality(view: RunView) -> RenderableType:
    known = [key for key in _TITLES if key in view.metrics]
    figures = "   ".join(f"{_TITLES[key]} [bold]{share(view.metrics[key])}[/bold]" for key in known)
    lines = [f"[dim]on held-out data[/dim]   {figures}"]
    if view.cross_validation is not None:
        folds = view.cross_validation
        spread = "   ".join(
            f"{_TITLES[key]} {share(folds.mean[key])} ± {share(folds.std.get(key, 0.0))}"
            for key in _TITLES
            if key in folds.mean
        )
        lines.append(f"[dim]{len(folds.folds)} folds[/dim]   {spread}")
    if view.compressed is not None and view.compressed.agreement is not None:
        same = f"{view.compressed.agreement:.1%}"
        lines.append(f"[dim]the compressed model agrees with the original on[/dim] {same} [dim]of it[/dim]")
    return Group(*lines)


def _compression(original: VariantFigures, compressed: VariantFigures) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("")
    for title in (f"before ({original.variant})", f"after ({compressed.variant})", ""):
        table.add_column(title, justify="right")
    table.add_row(
        "size", size(original.size_bytes), size(compressed.size_bytes),
        ratio(original.size_bytes, compressed.size_bytes) + " smaller",
    )  # fmt: skip
    table.add_row(
        "latency, p50", f"{original.p50_ms:.1f} ms", f"{compressed.p50_ms:.1f} ms",
        ratio(original.p50_ms, compressed.p50_ms) + " faster",
    )  # fmt: skip
    table.add_row(
        "throughput", f"{original.throughput:.0f}/s", f"{compressed.throughput:.0f}/s",
        ratio(compressed.throughput, original.throughput) + " more",
    )  # fmt: skip
    before, after = original.test_metrics or original.metrics, compressed.test_metrics or compressed.metrics
    for key in ("accuracy", "macro_f1"):
        if key in before and key in after:
            table.add_row(_TITLES[key], share(before[key]), share(after[key]), f"{after[key] - before[key]:+.3f}")
    return table


def _time(view: RunView) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column()
    longest = max(stage.seconds or 0.0 for stage in view.stages) or 1.0
    for stage in view.stages:
        table.add_row(stage.name, duration(stage.seconds), _bar(stage, longest))
    return table


def _bar(stage: StageView, longest: float) -> str:
    if stage.cached:
        return "[cyan]from cache[/cyan]"
    cells = round(_BAR_CELLS * (stage.seconds or 0.0) / longest)
    jobs = f" [dim]{stage.jobs} jobs[/dim]" if stage.jobs > 1 else ""
    return "[green]" + "█" * max(cells, 1 if stage.seconds else 0) + "[/green]" + jobs


def _calling(endpoint: str) -> RenderableType:
    body = json.dumps({"instances": ["your text"]})
    return Group(
        f"[dim]call[/dim]  [bold]{escape(endpoint)}[/bold]",
        f"[dim]  $[/dim]   {escape(f'curl {shlex.quote(endpoint)} -d {shlex.quote(body)}')}",
    )

"""The tables of ``tidemill models show``."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from tidemill.cli.figures import ago, duration, share, size
from tidemill.contracts.queries import ModelView, VersionView

_SHORT_DIGEST = len("sha256:") + 16


def version_table(model: ModelView) -> Table:
    """All versions, newest first."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("version", "accuracy", "macro F1", "serves", "size", "p50", "registered", "run"):
        table.add_column(title, no_wrap=title in ("version", "serves"))
    for one in model.versions:
        serving = next((variant for variant in one.variants if variant.variant == one.serving_variant), None)
        aliases = f" [green]{escape(', '.join(one.aliases))}[/green]" if one.aliases else ""
        if one.revoked_at is not None:
            aliases = f" [red]revoked: {escape(one.revoked_because or '')}[/red]"
        table.add_row(
            f"{one.version}{aliases}",
            share(one.metrics["accuracy"]) if "accuracy" in one.metrics else "",
            share(one.metrics["macro_f1"]) if "macro_f1" in one.metrics else "",
            one.serving_variant,
            size(serving.size_bytes) if serving else "",
            f"{serving.p50_ms:.1f} ms" if serving else "",
            ago(one.registered_at),
            one.run_id,
        )
    return table


def lineage(version: VersionView) -> Table:
    """What the version was made from: digests down to the rows that were published."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for label, ref in (
        ("model package", version.model),
        ("prepared dataset", version.dataset),
        ("ingested dataset", version.ingested),
        ("source", version.source),
        ("recipe", version.recipe),
    ):
        if ref is not None:
            gone = version.dataset_deleted and ref.kind in ("source", "dataset")
            state = "[yellow]deleted[/yellow]" if gone else f"[dim]{size(ref.size_bytes)}[/dim]"
            table.add_row(label, f"{ref.digest[:_SHORT_DIGEST]}…  {state}")
    table.add_row("signed by", version.signed_by or "[red]nobody: no gateway loads it[/red] (tidemill registry trust)")
    used = version.usage
    cost = f"{version.cost}: " if version.cost is not None else ""
    table.add_row("cost", f"{cost}{duration(used.cpu_seconds)} of processor time, peak {size(used.peak_memory_bytes)}")
    return table


def class_table(version: VersionView, most: int = 30) -> Table:
    """Quality by label on the test part; the worst labels when there are more than ``most``."""
    classes = version.evaluation.classes
    left_out = len(classes) - most
    shown = sorted(classes, key=lambda one: one.f1)[:most] if left_out > 0 else classes
    title = f"the {most} labels with the lowest F1 of {len(classes)}" if left_out > 0 else None
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title=title, title_justify="left")
    table.add_column("label")
    for head in ("precision", "recall", "F1", "examples"):
        table.add_column(head, justify="right")
    for one in shown:
        table.add_row(escape(one.label), share(one.precision), share(one.recall), share(one.f1), str(one.support))
    return table

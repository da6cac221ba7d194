"""``tidemill gc``: what nothing refers to is deleted from the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, Misused, print_document, screen

if TYPE_CHECKING:
    from rich.table import Table

    from tidemill.garbage import Report
    from tidemill.garbage.progress import Progress

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="Least time between condemning and deleting: 1h, 30m; 0 at once.")
    ] = "1h",
    forget_older_than: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            show_default=False,
            help="Runs that ended so long ago without a version keep nothing: they cannot be retried any more.",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete artifacts that no version, run or checkpoint in use refers to: condemned now, deleted a grace later.

    Safe beside a platform at work, except with --grace 0.
    """
    from tidemill.artifacts.objects import open_objects
    from tidemill.garbage import Collector, Policy
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import current_store_url

    forget = _time(forget_older_than, "--forget-older-than") if forget_older_than is not None else None
    policy = Policy(grace=_time(grace, "--grace"), forget_older_than=forget)
    url = current_store_url(DataDir.find(data_dir))
    with _progress(as_json) as progress:
        report = asyncio.run(Collector(open_objects(url), policy, progress=progress).collect(dry_run=dry_run))
    if as_json:
        print_document({"store_url": url} | report.model_dump(mode="json"))
        return
    console = screen()
    if report.lines:
        console.print(_table(report))
    console.print(_summary(report))


def _time(text: str, option: str) -> timedelta:
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    if not number.isdecimal() or (unit == "s" and text == number and int(number)):
        raise Misused(f"{option} {text}: give a number and a unit (s, m, h, d), e.g. 1h")
    return timedelta(**{_UNITS[unit]: int(number)})


@contextmanager
def _progress(as_json: bool) -> Iterator[Progress]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    from tidemill.garbage.progress import silent

    console = screen(as_json)
    if not console.is_terminal:
        yield silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=28), MofNCompleteColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("looking", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _table(report: Report) -> Table:
    from rich.table import Table

    from tidemill.cli.figures import size

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("kind")
    for title in ("kept", "condemned now", "waiting", "would be freed" if report.dry_run else "freed"):
        table.add_column(title, justify="right")
    for line in report.lines:
        amounts = (line.kept, line.condemned, line.waiting, line.freed)
        table.add_row(line.kind, *(f"{one.number:,}  {size(one.bytes):>8}" if one.number else "" for one in amounts))
    return table


def _summary(report: Report) -> str:
    from tidemill.cli.figures import duration, size

    freed, due = report.total("freed"), report.total("condemned") + report.total("waiting")
    said = f"{'would free' if report.dry_run else 'freed'} {size(freed.bytes)}"
    if due.number:
        said += f"; {size(due.bytes)} more when their grace of {duration(report.grace_seconds)} is over: run it again"
    if report.damaged:
        said += f"\n{len(report.damaged)} manifests cannot be read and were left alone: {', '.join(report.damaged[:3])}"
    return said

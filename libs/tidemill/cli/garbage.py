"""``tidemill gc``: what nothing refers to is deleted from the store."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, Misused, print_document, progress_bar, screen

if TYPE_CHECKING:
    from rich.table import Table

    from tidemill.garbage import Report
    from tidemill.progress import Progress


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
    from tidemill.audit import put_on_record_everywhere
    from tidemill.garbage import Collector, Policy
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import current_store_url
    from tidemill.records import RecordStore

    forget = _time(forget_older_than, "--forget-older-than") if forget_older_than is not None else None
    policy = Policy(grace=_time(grace, "--grace"), forget_older_than=forget)
    url = current_store_url(DataDir.find(data_dir))
    objects = open_objects(url)

    async def do(progress: Progress) -> Report:
        made = await Collector(objects, policy, progress=progress).collect(dry_run=dry_run)
        if made.deleted_something:
            await put_on_record_everywhere(
                RecordStore(objects), actor="local", action="collect-garbage", subject="store", reason=made.sentence
            )
        return made

    with progress_bar(screen(as_json)) as progress:
        report = asyncio.run(do(progress))
    if as_json:
        print_document({"store_url": url} | report.model_dump(mode="json"))
        return
    console = screen()
    if report.lines:
        console.print(_table(report))
    console.print(_summary(report))


def _time(text: str, option: str) -> timedelta:
    from tidemill.contracts.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise Misused(f"{option}: {error}") from None


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

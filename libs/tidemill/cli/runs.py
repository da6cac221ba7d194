"""``tidemill runs``: list, show, watch, cancel, retry."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, Misused, UrlOption, print_document, screen

if TYPE_CHECKING:
    from tidemill.contracts.queries import RunView

commands = typer.Typer(help="The runs: list, show, watch, cancel, retry.", no_args_is_help=True)

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id; see `tidemill runs list`.")]


class State(StrEnum):
    """States that ``runs list`` can be limited to."""

    running = "running"
    finished = "finished"
    failed = "failed"
    cancelled = "cancelled"


@commands.command("list")
def list_runs(
    state: Annotated[State | None, typer.Option(help="Only runs in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 20,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Runs, newest first."""
    from rich.markup import escape
    from rich.table import Table

    from tidemill.cli.figures import ago, duration
    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        rows = platform.runs(limit=limit, state=state.value if state else None)
    if as_json:
        print_document([row.model_dump(mode="json") for row in rows])
        return
    if not rows:
        screen().print("no runs yet; start one: tidemill publish reviews.csv --name reviews --wait")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("run", no_wrap=True)
    for title in ("dataset", "state", "began", "took", "result"):
        table.add_column(title)
    for row in rows:
        gone = " [dim](deleted)[/dim]" if row.version_deleted else ""
        result = f"version {row.version}{gone}" if row.version else escape(_one_line(row.error or ""))
        if row.state == "finished" and not row.version:
            result = "dataset"
        state_words = f"{row.state}" + (f" ({row.stage})" if row.stage and row.state != "finished" else "")
        colour = {"finished": "green", "failed": "red", "cancelled": "yellow"}.get(row.state, "cyan")
        table.add_row(
            row.run_id, escape(row.name), f"[{colour}]{state_words}[/{colour}]", ago(row.created_at),
            duration(row.seconds), result,
        )  # fmt: skip
    screen().print(table)


@commands.command()
def show(
    run: RunArgument,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything about one run."""
    from rich.markup import escape

    from tidemill.cli.figures import ago
    from tidemill.cli.summary import serves, summary
    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        view = platform.run(run).show()
        endpoint = platform.predict_url(view.model or view.name)
    if as_json:
        print_document(view.model_dump(mode="json") | {"endpoint": endpoint if serves(view) else None})
        return
    console = screen()
    about = f"run [bold]{view.run_id}[/bold] of dataset [bold]{escape(view.name)}[/bold], began {ago(view.created_at)}"
    console.print(about + _contents(view))
    if view.state == "running":
        for stage in view.stages:
            how_far = f"{stage.fraction:.0%} " if stage.fraction is not None else ""
            console.print(f"  {stage.name:<11}{stage.state} {how_far}{escape(stage.message)}".rstrip())
    console.print(summary(view, endpoint))
    if view.version_deleted:
        console.print(f"\n[yellow]version {view.version} was deleted since[/yellow]")
    if view.dataset_deleted:
        console.print("\n[yellow]what it took in and prepared was deleted since[/yellow]")
    if view.trace_id:
        console.print(f"[dim]trace: tidemill trace {view.run_id}[/dim]")


@commands.command()
def watch(
    run: RunArgument,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a run to its end; exit 1 when it fails."""
    from tidemill.cli.publishing import follow
    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        follow(platform, platform.run(run), as_json=as_json)


@commands.command()
def cancel(
    run: RunArgument,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a run; its workers stop at once."""
    from tidemill.client import StillRunning, connect

    with connect(url, data_dir) as platform:
        handle = platform.run(run)
        handle.cancel()
        try:
            state: str = handle.wait(timeout=15).state
        except StillRunning:
            state = "running"
    if as_json:
        print_document({"run_id": run, "state": state})
    else:
        screen().print(f"run {run} is {'being cancelled' if state == 'running' else state}")


@commands.command()
def retry(
    run: RunArgument,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", metavar="MONEY", help="What it may cost in all, from now on.")
    ] = None,
    max_wall_time: Annotated[
        str | None, typer.Option("--max-wall-time", metavar="TIME", help="How long it may take from now: 2h, 30m.")
    ] = None,
    max_stage_time: Annotated[
        list[str] | None,
        typer.Option("--max-stage-time", metavar="STAGE=TIME", help="How long a stage may work; repeatable."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Follow the run to its end.")] = False,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a failed or cancelled run again from the stage where it stopped; limits replace the recipe's."""
    from tidemill.cli.publishing import follow
    from tidemill.client import connect

    stage_times = dict(_stage_time(text) for text in max_stage_time or [])
    with connect(url, data_dir) as platform:
        handle = platform.run(run)
        handle.retry(max_cost=max_cost, max_wall_time=max_wall_time, max_stage_time=stage_times)
        if wait:
            follow(platform, handle, as_json=as_json)
            return
    if as_json:
        print_document({"run_id": run, "state": "running"})
    else:
        screen().print(f"run {run} starts again from where it stopped; follow it: tidemill runs watch {run}")


def _contents(view: RunView) -> str:
    if not view.rows:
        return ""
    labels = f", {len(view.labels)} labels" if view.labels else ""
    return f"; {view.rows:,} rows{labels}"


def _stage_time(text: str) -> tuple[str, str]:
    stage, equals, time = text.partition("=")
    if not equals or not stage or not time:
        raise Misused(f"--max-stage-time {text}: give a stage and a time, e.g. --max-stage-time train=30m")
    return stage.strip(), time.strip()


def _one_line(text: str, most: int = 70) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= most else line[: most - 1] + "…"

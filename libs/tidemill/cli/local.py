"""``tidemill up``, ``down``, ``status`` and ``env``: the platform of this machine."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, Misused, UrlOption, print_document, screen

if TYPE_CHECKING:
    from tidemill.platform.data_dir import PlatformRecord


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when it is ready; it stays.")] = False,
    data_dir: DataDirOption = None,
    port: Annotated[
        int,
        typer.Option(
            help="Port of the gateway; 0 takes any that is free.", envvar="TIDEMILL_INFERENCE_PORT", min=0, max=65535
        ),
    ] = 8000,
    host: Annotated[
        str,
        typer.Option(
            help="Address of the gateway; off loopback it needs TIDEMILL_INFERENCE_API_KEY and TLS.",
            envvar="TIDEMILL_INFERENCE_HOST",
        ),
    ] = "127.0.0.1",
    replicas: Annotated[
        list[str] | None,
        typer.Option(metavar="SERVICE=N", help="How often a worker runs, e.g. trainer=2.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start the platform: NATS and the six services, supervised, until Ctrl-C."""
    from rich.markup import escape

    from tidemill.errors import InvalidInput
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import PlatformOptions
    from tidemill.platform.up import run_platform, start_detached

    try:
        options = PlatformOptions(port=port, host=host, replicas=_replicas(replicas or []))
    except InvalidInput as error:
        raise Misused(str(error)) from None
    data = DataDir.find(data_dir)
    console = screen(as_json)

    def said(line: str) -> None:
        console.print(f"[dim]{datetime.now():%H:%M:%S}[/dim] {escape(line)}")

    def ready(record: PlatformRecord) -> None:
        if as_json:
            print_document(record.model_dump(mode="json"))
        console.print(_welcome(record, stays=detach))

    if detach:
        with console.status("starting the platform…"):
            record = start_detached(data, options, said=lambda line: console.print(f"[dim]{line}[/dim]"))
        ready(record)
        return
    console.print(f"[dim]starting the platform in {data.root}; logs are in {data.logs}[/dim]")
    run_platform(data, options, said=said, ready=ready)
    console.print("[dim]stopped; nothing of it runs[/dim]")


def down(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Stop the platform and wait until nothing of it runs."""
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.up import is_running, stop_platform

    data = DataDir.find(data_dir)
    running = is_running(data.record())
    console = screen(as_json)
    with console.status("stopping the platform…"):
        left = stop_platform(data)
    if as_json:
        print_document({"data_dir": str(data.root), "was_running": running, "ended_pids": left})
    elif running:
        console.print(f"the platform in {data.root} has stopped")
    elif left:
        console.print(f"ended {len(left)} processes that a killed supervisor had left in {data.root}")
    else:
        console.print(f"no platform runs in {data.root}")


def status(data_dir: DataDirOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """What is up, and how it is: exit 0 when the platform is ready."""
    from tidemill.cli.status import gather, is_ready, status_screen

    document = gather(data_dir, url)
    if as_json:
        print_document(document)
    else:
        screen().print(status_screen(document))
    if not is_ready(document):
        raise typer.Exit(1)


def env(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Print shell exports for other clients of this platform's NATS: eval "$(tidemill env)"."""
    from tidemill.client.gateway import NotReachable
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.up import is_running

    data = DataDir.find(data_dir)
    record = data.record()
    if record is None or not is_running(record):
        raise NotReachable(f"no platform runs in {data.root}; start it with `tidemill up`")
    variables: dict[str, Any] = {
        "NATS_URL": record.nats_url,
        "NATS_NKEY": str(data.nkey_file("operator")),
        "TIDEMILL_URL": record.gateway_url,
        "TIDEMILL_DATA_DIR": record.data_dir,
    }
    if as_json:
        print_document(variables)
        return
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")


def _replicas(given: list[str]) -> dict[str, int]:
    found = {}
    for one in given:
        name, _, count = one.partition("=")
        if not count.isdigit():
            raise Misused(f"--replicas {one}: give a service and a number, e.g. --replicas trainer=2")
        found[name] = int(count)
    return found


def _welcome(record: PlatformRecord, *, stays: bool) -> Any:
    from rich.panel import Panel
    from rich.table import Table

    from tidemill.platform.data_dir import DataDir

    where = DataDir.find(record.data_dir).option
    ready = [one.name for one in record.processes if one.state == "ready"]
    warming = [one.name for one in record.processes if one.state != "ready"]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("gateway", f"[bold]{record.gateway_url}[/bold]  (its API: {record.gateway_url}/docs)")
    table.add_row("data", record.data_dir)
    table.add_row("store", record.store_url)
    table.add_row("NATS", f'{record.nats_url}  (account: eval "$(tidemill env{where})")')
    table.add_row("ready", ", ".join(ready) + f"  [dim]({record.ready_seconds} s)[/dim]")
    if warming:
        table.add_row("warming up", ", ".join(warming) + "  [dim](they load torch; datasets can be published)[/dim]")
    table.add_row("next", f"tidemill publish reviews.csv --name reviews --wait{where}")
    table.add_row("", f"tidemill status{where}" + (f"   tidemill down{where}" if stays else "   Ctrl-C to stop"))
    return Panel(table, title="Tidemill is up", title_align="left", border_style="green", expand=False)

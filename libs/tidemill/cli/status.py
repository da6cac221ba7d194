"""``tidemill status``: the supervisor's record, the process table and the gateway's own view, on one screen."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tidemill.cli.figures import duration, size
from tidemill.client import connect
from tidemill.errors import TidemillError
from tidemill.platform.data_dir import DataDir, PlatformRecord, ProcessRecord
from tidemill.platform.up import is_running

_COLOURS = {"ready": "green", "starting": "yellow", "waiting": "red", "stopping": "yellow", "stopped": "red"}


def gather(data_dir: Path | None, url: str | None) -> dict[str, Any]:
    """Everything that is known; ``processes`` only of a platform on this machine."""
    data = DataDir.find(data_dir)
    record = None if url is not None else data.record()
    document: dict[str, Any] = {"state": "unknown", "data_dir": None if url else str(data.root)}
    if url is None:
        document["state"] = record.state if record is not None and is_running(record) else "stopped"
        document["processes"] = []
    if record is not None and is_running(record):
        document |= _of_record(record)
    if url is not None or document["state"] != "stopped":
        document |= _of_gateway(data_dir, url)
        if url is not None:
            document["state"] = "ready" if document["gateway"] else "stopped"
    return document


def is_ready(document: dict[str, Any]) -> bool:
    """Whether the platform is up and its gateway answers."""
    return document["state"] == "ready" and document.get("gateway") is not None


def status_screen(document: dict[str, Any]) -> RenderableType:
    """The document as a person reads it."""
    head = Table.grid(padding=(0, 2))
    head.add_column(style="dim")
    head.add_column(overflow="fold")
    colour = _COLOURS.get(document["state"], "yellow")
    since = f", up {duration(document['uptime_seconds'])}" if "uptime_seconds" in document else ""
    head.add_row("platform", f"[{colour}]{document['state']}[/{colour}]{since}")
    if document["state"] == "stopped" and "gateway_url" not in document:
        head.add_row("data", str(document["data_dir"]))
        head.add_row("next", "tidemill up")
        return head
    for label, key in (("data", "data_dir"), ("store", "store_url"), ("NATS", "nats_url")):
        if document.get(key):
            head.add_row(label, document[key])
    head.add_row("gateway", f"{document['gateway_url']}{_gateway_words(document)}")
    if document.get("gateway") is not None:
        head.add_row("runs", f"{document['runs_in_flight']} in flight")
        letters = document["dead_letters"]
        head.add_row("dead letters", f"{letters}  (tidemill dead list)" if letters else "none")
    parts: list[RenderableType] = [head]
    if document.get("processes"):
        parts += ["", _process_table(document["processes"])]
    if (document.get("gateway") or {}).get("models"):
        parts += ["", _model_table(document["gateway"]["models"])]
    return Group(*parts)


def _of_record(record: PlatformRecord) -> dict[str, Any]:
    uptime = (datetime.now(UTC) - record.started_at).total_seconds()
    return {
        "gateway_url": record.gateway_url,
        "nats_url": record.nats_url,
        "store_url": record.store_url,
        "uptime_seconds": round(uptime, 1),
        "ready_seconds": record.ready_seconds,
        "supervisor_pid": record.supervisor.pid,
        "processes": [_of_process(one) for one in record.processes],
    }


def _of_process(one: ProcessRecord) -> dict[str, Any]:
    alive = one.identity is not None and one.identity.alive
    uptime = (datetime.now(UTC) - one.started_at).total_seconds() if one.started_at and alive else None
    return {
        "name": one.name,
        "state": one.state if alive or one.state != "ready" else "stopped",
        "pid": one.identity.pid if one.identity is not None and alive else None,
        "uptime_seconds": round(uptime, 1) if uptime is not None else None,
        "memory_bytes": _memory(one.identity.pid) if one.identity is not None and alive else None,
        "restarts": one.restarts,
        "log": one.log,
    }


def _memory(pid: int) -> int:
    """Resident bytes of the process and all below it; pages that they share count once for each."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
    return total


def _of_gateway(data_dir: Path | None, url: str | None) -> dict[str, Any]:
    with connect(url, data_dir) as platform:
        answer: dict[str, Any] = {"gateway_url": platform.url, "gateway": None}
        try:
            answer["gateway"] = platform.status()
            answer["runs_in_flight"] = len(platform.runs(limit=1000, state="running"))
            answer["dead_letters"] = len(platform.dead_letters(limit=1000))
        except TidemillError as error:
            answer["error"] = str(error)
            answer.setdefault("runs_in_flight", None)
            answer.setdefault("dead_letters", None)
    return answer


def _gateway_words(document: dict[str, Any]) -> str:
    if document.get("gateway") is None:
        return f"  [red]{escape(document.get('error', 'does not answer'))}[/red]"
    parts = document["gateway"]
    away = [
        name
        for name, there in (
            ("NATS", parts["bus"]["connected"]),
            ("registry", parts["registry"]["reachable"]),
            ("store", parts["store"]["reachable"]),
        )
        if not there
    ]
    return f"  [red]cannot reach {', '.join(away)}[/red]" if away else "  [green]answers[/green]"


def _process_table(processes: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("process")
    table.add_column("state")
    for title in ("pid", "up", "memory", "restarts"):
        table.add_column(title, justify="right")
    for one in processes:
        colour = _COLOURS.get(one["state"], "")
        table.add_row(
            one["name"],
            f"[{colour}]{one['state']}[/{colour}]",
            str(one["pid"] or ""),
            duration(one["uptime_seconds"]),
            size(one["memory_bytes"]) if one["memory_bytes"] else "",
            str(one["restarts"] or ""),
        )
    return table


def _model_table(models: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("model", "state", "serving", "variant"):
        table.add_column(title)
    for model in models:
        versions = ", ".join(f"version {one['version']}" for one in model["serving"])
        table.add_row(escape(model["name"]), model["state"], versions, model.get("variant") or "")
    return table

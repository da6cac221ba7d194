"""``tidemill doctor``: what is wrong with a platform, and what to do."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, UrlOption, print_document, screen

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tidemill.doctor import Report

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}


def doctor(data_dir: DataDirOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Look at every part of the platform; exit 0 when nothing failed."""
    from tidemill.doctor import Site, diagnose

    with screen(as_json).status("looking at the platform…"):
        report = diagnose(Site.of(data_dir, url))
    if as_json:
        print_document(report.document())
    else:
        screen().print(_table(report))
    code = 0 if report.healthy else 1
    if report.hung:  # a thread of it is stuck in the operating system: waiting for it would take for ever
        sys.stdout.flush()
        os._exit(code)
    raise typer.Exit(code)


def _table(report: Report) -> RenderableType:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("check", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("finding", overflow="fold")
    shown = ""
    for check, finding in report.findings:
        colour = _COLOURS[finding.state]
        text = escape(finding.message) + (f"\n[bold]→[/bold] {escape(finding.advice)}" if finding.advice else "")
        table.add_row("" if check == shown else check, f"[{colour}]{finding.state}[/{colour}]", text)
        shown = check
    return table

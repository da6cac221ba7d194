"""What commands print with: people's text on a console, scripts' one JSON document on stdout."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.errors import TidemillError

if TYPE_CHECKING:
    from rich.console import Console

DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder of the platform that is meant; else TIDEMILL_DATA_DIR, else .tidemill here.",
        show_default=False,
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Address of a gateway, for a platform elsewhere.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, for scripts.")]


YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


_WIDTH_ELSEWHERE = 160
"""Columns of a file or a pipe, which have no width of their own."""


class Misused(TidemillError):
    """The command was called wrongly: exit code 2."""


def screen(as_json: bool = False) -> Console:
    """A console for people: stdout, or stderr where stdout is for a document."""
    from rich.console import Console

    terminal = (sys.stderr if as_json else sys.stdout).isatty()
    width = None if terminal or "COLUMNS" in os.environ else _WIDTH_ELSEWHERE
    return Console(stderr=as_json, highlight=False, soft_wrap=not terminal, width=width)


def print_document(document: Any) -> None:
    """The one document of ``--json``."""
    print(json.dumps(document, ensure_ascii=False, indent=2, default=str))


def agreed(question: str, *, yes: bool) -> None:
    """Ask a person before something that cannot be undone.

    Raises:
        Misused: nobody is there to ask, and ``--yes`` was not given.
        typer.Exit: they do not want it.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Misused("this cannot be undone; confirm it with --yes")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)

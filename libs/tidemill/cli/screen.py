"""What commands print with: people's text on a console, scripts' one JSON document on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.control_characters import spelled_out
from tidemill.errors import TidemillError
from tidemill.progress import Progress, silent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

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
    """A console for people: stdout, or stderr where stdout is for a document. Texts of strangers cannot steer it."""
    from rich.console import Console

    class PlainConsole(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(spelled_out(text, keep="\n\t"), **how)

    terminal = (sys.stderr if as_json else sys.stdout).isatty()
    width = None if terminal or "COLUMNS" in os.environ else _WIDTH_ELSEWHERE
    return PlainConsole(stderr=as_json, highlight=False, soft_wrap=not terminal, width=width)


def print_document(document: Any) -> None:
    """The one document of ``--json``."""
    print(json.dumps(document, ensure_ascii=False, indent=2, default=str))


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """A bar for each step that is told of, gone at the end; nothing where no terminal is."""
    from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    if not console.is_terminal:
        yield silent
        return
    columns = (TextColumn("{task.description:<20}"), BarColumn(bar_width=40), TaskProgressColumn())
    steps: dict[str, TaskID] = {}
    with Bars(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:

        def progress(what: str, done: int, total: int) -> None:
            if what not in steps:
                steps[what] = bars.add_task(what)
            bars.update(steps[what], completed=done if total else 1, total=total or 1)

        yield progress


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


def eventually(done: Callable[[], bool]) -> bool:
    """Whether the effect of a command, which the registry carries out soon, is seen within ten seconds."""
    deadline = time.monotonic() + 10
    while not (seen := done()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return seen

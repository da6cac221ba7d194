"""A long upload on the screen: a bar on a terminal, a line for every tenth elsewhere; nothing for a short one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from tidemill.cli.screen import screen

if TYPE_CHECKING:
    from tidemill.client.multipart import Sent

LONG_BYTES = 8 << 20
"""Uploads of fewer bytes are over before anybody wonders."""


@contextmanager
def uploading(as_json: bool) -> Iterator[Sent]:
    """What to call with the bytes sent and the bytes in all."""
    console = screen(as_json)
    if not console.is_terminal:
        said = -1

        def say(done: int, total: int) -> None:
            nonlocal said
            tenth = 10 * done // total
            if total >= LONG_BYTES and tenth > said:
                said = tenth
                console.print(f"uploading {done / 1e6:,.1f} of {total / 1e6:,.1f} MB")

        yield say
        return
    columns = (TextColumn("uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("uploading", total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=total >= LONG_BYTES)

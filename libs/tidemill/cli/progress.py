"""A run live on the screen: a bar for every stage on a terminal, a line for every change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from tidemill.cli.figures import duration
from tidemill.contracts import STAGES, StageName
from tidemill.contracts.queries import RunView, StageView

if TYPE_CHECKING:
    from rich.console import Console

Show = Callable[[RunView], None]


@contextmanager
def showing(console: Console) -> Iterator[Show]:
    """What to call with the run whenever something changed."""
    if not console.is_terminal:
        yield _Lines(console).show
        return
    progress = Progress(
        TextColumn("{task.description:<11}"),
        BarColumn(bar_width=28),
        _State(),
        TextColumn("[dim]{task.fields[message]}", markup=True),
        console=console,
        refresh_per_second=8,
    )
    with progress:
        yield _Bars(progress).show


class _State(ProgressColumn):
    """How far a stage is, and for how long it has been going on."""

    def render(self, task: Task) -> Text:
        stage: StageView = task.fields["stage"]
        words = _words(stage)
        if stage.state == "running":
            began: float = task.fields["began"]
            words = f"{words:>5} {duration(time.monotonic() - began)}"
        colour = {"finished": "green", "failed": "red", "cancelled": "yellow", "waiting": "dim"}.get(stage.state, "")
        return Text(words, style=colour)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[StageName, TaskID] = {
            name: progress.add_task(
                name, total=1.0, stage=StageView(name=name, state="waiting"), message="", began=time.monotonic()
            )
            for name in STAGES
        }
        self._states: dict[StageName, str] = {}

    def show(self, view: RunView) -> None:
        for stage in view.stages:
            task = self._tasks[stage.name]
            if self._states.get(stage.name) != stage.state:
                self._states[stage.name] = stage.state
                self._progress.update(task, began=time.monotonic())
            # Work of unknown size shows as a moving bar.
            total = None if stage.state == "running" and stage.fraction is None else 1.0
            completed = 1.0 if stage.state == "finished" else stage.fraction or 0.0
            message = escape(stage.message) if stage.state == "running" else ""
            self._progress.update(task, total=total, completed=completed, stage=stage, message=message)


class _Lines:
    """A line when a stage changes its state, and for every tenth of its work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[StageName, tuple[str, int]] = {}

    def show(self, view: RunView) -> None:
        for stage in view.stages:
            step = (stage.state, int(10 * (stage.fraction or 0)) if stage.state == "running" else 0)
            if stage.state == "waiting" or self._said.get(stage.name) == step:
                continue
            self._said[stage.name] = step
            message = f" {stage.message}" if stage.message and stage.state == "running" else ""
            self._console.print(f"{time.strftime('%H:%M:%S')} {stage.name:<11}{_words(stage)}{escape(message)}")


def _words(stage: StageView) -> str:
    if stage.state == "running":
        return f"{stage.fraction:.0%}" if stage.fraction is not None else "running"
    if stage.state == "finished":
        return "from cache" if stage.cached else f"done {duration(stage.seconds)}".rstrip()
    return stage.state

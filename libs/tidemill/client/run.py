"""One run from outside: wait for it, follow it, cancel it, start it again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from pydantic import ValidationError

from tidemill.client.gateway import Gateway, NotReachable
from tidemill.client.live import LiveRun
from tidemill.contracts import Budget, RunProgressed
from tidemill.contracts.queries import RunView
from tidemill.errors import InvalidInput, NotFound, TidemillError, TransientError

OUTAGE_PATIENCE = 60.0
"""Seconds that following a run survives without a gateway: restarts take a few."""
SILENCE = 30.0
"""Seconds without a byte after which the stream is opened again; the gateway sends comments meanwhile."""
COMMAND_PATIENCE = 15.0
"""Seconds to wait for the registry to carry a command out."""
SERVED_PATIENCE = 15.0
"""Seconds to wait for the gateway to have loaded a promoted version."""
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0


class StillRunning(TidemillError):
    """The run has not ended in the time that the caller gave it; it goes on."""


@dataclass(frozen=True)
class RunEvent:
    """Something about a run: ``view`` is the run as it is now, whatever ``kind`` of event told it."""

    kind: Literal["run", "progress", "stage"]
    view: RunView
    data: dict[str, Any]
    """The event as the gateway sent it."""


class Run:
    """A run that was published. ``trace_id`` and everything else a person may want is in ``show()``."""

    def __init__(self, gateway: Gateway, run_id: str, name: str) -> None:
        self._gateway = gateway
        self.run_id = run_id
        self.name = name

    def __repr__(self) -> str:
        return f"Run({self.run_id!r}, name={self.name!r})"

    def show(self) -> RunView:
        """The run as it is now.

        Raises:
            NotFound: the platform knows no such run.
        """
        return self._show(None)

    def wait(self, progress: Callable[[RunView], None] | None = None, timeout: float | None = None) -> RunView:
        """The run when it has ended, however it ended: look at ``state`` and ``error``.

        ``progress`` is called with the run whenever something changed. Survives restarts of the gateway. A version that
        was promoted is in service when this returns, unless that takes longer than ``SERVED_PATIENCE``.

        Raises:
            StillRunning: it has not ended after ``timeout`` seconds.
            NotReachable: the platform is away for more than ``OUTAGE_PATIENCE`` seconds.
            NotFound: the platform knows no such run.
        """
        view: RunView | None = None
        for event in self.events(timeout=timeout):
            view = event.view
            if progress is not None:
                progress(view)
        assert view is not None, "a stream of events begins with the run"
        if view.state == "finished" and view.promoted:
            self._until_served(view)
        return view

    def events(self, timeout: float | None = None) -> Iterator[RunEvent]:
        """What happens to the run from now until it has ended; the first event is the run as it is.

        Raises:
            StillRunning: it has not ended after ``timeout`` seconds.
            NotReachable: the platform is away for more than ``OUTAGE_PATIENCE`` seconds.
            NotFound: the platform knows no such run.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        away_since: float | None = None
        delay = _FIRST_DELAY
        while True:
            try:
                for event in self._follow(deadline):
                    away_since, delay = None, _FIRST_DELAY
                    yield event
                    if event.kind == "run" and event.view.state != "running":
                        return
            except TransientError as error:
                now = time.monotonic()
                away_since = away_since if away_since is not None else now
                self._refuse_late(deadline)
                if now - away_since > OUTAGE_PATIENCE:
                    raise NotReachable(f"{error} (run {self.run_id} may still be going on)") from error
            except NotFound:
                # A registry that has just begun may not have read the run's record yet.
                now = time.monotonic()
                away_since = away_since if away_since is not None else now
                if now - away_since > 5.0:
                    raise
            time.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    def cancel(self) -> None:
        """End the run; returns when the platform has noted it, before its workers have stopped."""
        self._gateway.post(f"/v1/runs/{self.run_id}:cancel")

    def retry(
        self,
        *,
        max_cost: float | None = None,
        max_wall_time: timedelta | str | None = None,
        max_stage_time: Mapping[str, timedelta | str] | None = None,
    ) -> None:
        """Start the failed or cancelled run again from the stage where it stopped; returns when it is running.

        The limits replace those of the recipe's ``economics`` from now on. ``max_cost`` counts what the run has cost
        already; times begin anew. Durations as a recipe writes them: ``"2h"``.

        Raises:
            InvalidInput: it is running, or has finished, or a limit cannot be read.
            TransientError: the registry did not carry the command out within ``COMMAND_PATIENCE`` seconds.
        """
        limits = {"max_cost": max_cost, "max_wall_time": max_wall_time, "max_stage_time": max_stage_time}
        try:
            budget = Budget.model_validate({name: limit for name, limit in limits.items() if limit is not None})
        except ValidationError as invalid:
            first = invalid.errors()[0]
            raise InvalidInput(
                f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"
            ) from None
        before = self.show()
        document = budget.model_dump(mode="json", exclude_defaults=True)
        self._gateway.post(f"/v1/runs/{self.run_id}:retry", document or None)
        deadline = time.monotonic() + COMMAND_PATIENCE
        while (now := self.show()).state == before.state and now.ended_at == before.ended_at:
            if time.monotonic() > deadline:
                raise TransientError(f"run {self.run_id} is still {now.state}; the command to retry it is on its way")
            time.sleep(0.05)

    def _follow(self, deadline: float | None) -> Iterator[RunEvent]:
        """One connection's worth of events."""
        live: LiveRun | None = None
        silence = SILENCE
        if deadline is not None:
            silence = max(0.1, min(SILENCE, deadline - time.monotonic()))
        with self._gateway.events(f"/v1/runs/{self.run_id}/events", silence=silence) as stream:
            for sent in stream:
                self._refuse_late(deadline)
                if sent.kind not in ("run", "progress", "stage"):
                    continue
                data = json.loads(sent.data)
                if sent.kind == "run" or live is None:
                    view = RunView.model_validate(data) if sent.kind == "run" else self._show(0.0)
                    live = live or LiveRun(view)
                    live.update(view)
                elif sent.kind == "stage":
                    live.update(self._show(0.0))
                else:
                    progress = RunProgressed.model_validate(data)
                    if not live.knows(progress.stage):  # the stages before it may have ended meanwhile
                        live.update(self._show(0.0))
                    if not live.advance(progress):
                        continue
                kind: Literal["run", "progress", "stage"] = sent.kind  # type: ignore[assignment]
                yield RunEvent(kind, live.view, data)

    def _show(self, patience: float | None) -> RunView:
        return RunView.model_validate(self._gateway.get(f"/v1/runs/{self.run_id}", patience=patience))

    def _until_served(self, view: RunView) -> None:
        """The run ends when its version is the champion; every gateway then loads it, which takes a moment."""
        deadline = time.monotonic() + SERVED_PATIENCE
        while time.monotonic() < deadline:
            try:
                status = self._gateway.get("/v1/status", patience=1.0)
            except TransientError:
                continue
            for model in status.get("models", ()):
                versions = [serving["version"] for serving in model["serving"]]
                if model["name"] == view.name and (view.version in versions or model["state"] == "failed"):
                    return
            time.sleep(0.05)

    def _refuse_late(self, deadline: float | None) -> None:
        if deadline is not None and time.monotonic() > deadline:
            raise StillRunning(f"run {self.run_id} has not ended in the time given; it goes on")

"""Live events of runs for many listeners over one subscription. Knows subjects and events, no HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from tidemill.bus import Bus
from tidemill.contracts import EVENTS, Event, RunProgressed
from tidemill.errors import TransientError

log = logging.getLogger(__name__)

EVENT_SUBJECTS = "tidemill.*.*.v1"
"""Every event of every kind; neither jobs nor questions nor dead letters have this form."""
_PROGRESS_BACKLOG = 256
"""Messages a slow listener may have waiting before progress is dropped for it; facts never are."""
_RETRY_SECONDS = 1.0

Listener = asyncio.Queue[Event | None]
"""Events of one run; None when the gateway is leaving."""


class LiveEvents:
    """Fans events out to the listeners of their run."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._listeners: dict[tuple[str, str], set[Listener]] = defaultdict(set)
        self._closed = False

    async def run(self, connected: asyncio.Event) -> None:
        """Pass events on until cancelled; begins when ``connected`` is set."""
        await connected.wait()
        while True:
            try:
                async with self._bus.listening(EVENT_SUBJECTS) as messages:
                    async for subject, document in messages:
                        self._pass_on(subject, document)
            except TransientError as error:
                log.warning("live events are interrupted: %s", error)
            except Exception:
                log.exception("live events broke off; they start again")
            await asyncio.sleep(_RETRY_SECONDS)

    @contextmanager
    def listening(self, project: str, run_id: str) -> Iterator[Listener]:
        """A queue that gets the events of a project's run for the block."""
        run = (project, run_id)
        listener: Listener = asyncio.Queue()
        if self._closed:
            listener.put_nowait(None)
        self._listeners[run].add(listener)
        try:
            yield listener
        finally:
            self._listeners[run].discard(listener)
            if not self._listeners[run]:
                del self._listeners[run]

    def close(self) -> None:
        """Tell every listener to end."""
        self._closed = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.put_nowait(None)

    def _pass_on(self, subject: str, document: dict[str, object]) -> None:
        project = str(document.get("project", "default"))
        listeners = self._listeners.get((project, str(document.get("run_id"))))
        kind = EVENTS.get(subject)
        if not listeners or kind is None:
            return
        try:
            event = kind.model_validate(document)
        except ValidationError:
            return
        for listener in listeners:
            if not isinstance(event, RunProgressed) or listener.qsize() < _PROGRESS_BACKLOG:
                listener.put_nowait(event)

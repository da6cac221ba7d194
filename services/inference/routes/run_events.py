"""A run as server-sent events: how it stands, what happens, how it ended.

Source: WHATWG HTML, "Server-sent events". Each message has an ``event`` and one line of JSON.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import orjson
from pydantic import ValidationError

from services.inference.gateway import Gateway
from services.inference.routes.views import StageAnnounced
from tidemill.contracts import (
    STAGES,
    DatasetIngested,
    DatasetPrepared,
    Event,
    ModelCompressed,
    ModelRegistered,
    ModelTrained,
    RunFailed,
    RunFinished,
    RunProgressed,
    StageName,
)
from tidemill.contracts.queries import RunView, ShowRun, StageView
from tidemill.errors import NotFound, TransientError
from tidemill.records.schema import RunRecord
from tidemill.telemetry import trace_id_of

HEARTBEAT_SECONDS = 10.0
"""Silence after which a comment is sent, and the run's state is asked for in case its last event was lost."""
_FINAL_TRIES = 50
_FINAL_DELAY = 0.1

_STAGE_OF: dict[type[Event], StageName] = {
    DatasetIngested: "ingest",
    DatasetPrepared: "preprocess",
    ModelTrained: "train",
    ModelCompressed: "compress",
    ModelRegistered: "register",
}


async def show_run(gateway: Gateway, project: str, run_id: str) -> dict[str, Any]:
    """The run's view as the registry gives it; one that the registry has not heard of yet comes from its record.

    Raises:
        NotFound: there is no such run.
        TransientError: the registry does not answer.
    """
    try:
        question = ShowRun(project=project, run_id=run_id)
    except ValidationError:
        raise NotFound(f"{run_id!r} cannot be the id of a run; GET /v1/runs lists them") from None
    try:
        return cast("dict[str, Any]", await gateway.bus.ask(question))
    except NotFound:
        record = await gateway.records.run(project, run_id)
        if record is None:
            raise
        return _begun(record).model_dump(mode="json")


async def follow(
    gateway: Gateway, project: str, run_id: str, first: dict[str, Any], *, actor: str
) -> AsyncIterator[bytes]:
    """The run's messages until it has ended, its client leaves or has its key revoked, or the gateway leaves."""
    with gateway.live.listening(project, run_id) as listener:
        # Asked again, now that nothing can happen between the answer and the first event.
        view = await _ask(gateway, project, run_id) or first
        yield _message("run", view)
        while view["state"] == "running":
            try:
                event = await asyncio.wait_for(listener.get(), HEARTBEAT_SECONDS)
            except asyncio.TimeoutError:
                if not gateway.keys.still_takes(actor):
                    return
                yield b": still here\n\n"
                view = await _ask(gateway, project, run_id) or view
                if view["state"] != "running":
                    yield _message("run", view)
                continue
            if event is None or not gateway.keys.still_takes(actor):
                return
            if isinstance(event, RunProgressed):
                yield _message("progress", event.model_dump(mode="json"))
                continue
            yield _message("stage", _announced(event))
            if isinstance(event, RunFailed | RunFinished):
                view = await _final(gateway, project, run_id) or view
                if view["state"] != "running":
                    yield _message("run", view)


def _message(kind: str, data: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(data))


def _announced(event: Event) -> dict[str, Any]:
    stage = event.stage if isinstance(event, RunFailed) else _STAGE_OF.get(type(event))
    return StageAnnounced(stage=stage, type=event.subject, event=event.model_dump(mode="json")).model_dump(mode="json")


async def _ask(gateway: Gateway, project: str, run_id: str) -> dict[str, Any] | None:
    try:
        return await show_run(gateway, project, run_id)
    except (NotFound, TransientError):
        return None


async def _final(gateway: Gateway, project: str, run_id: str) -> dict[str, Any] | None:
    """The ended run; the registry hears of the end at the same time as the gateway, so it may need a moment."""
    view = None
    for _ in range(_FINAL_TRIES):
        view = await _ask(gateway, project, run_id)
        if view is not None and view["state"] != "running":
            return view
        await asyncio.sleep(_FINAL_DELAY)
    return view


def _begun(record: RunRecord) -> RunView:
    return RunView(
        project=record.event.project,
        run_id=record.event.run_id,
        name=record.event.name,
        state="running",
        created_at=record.created_at,
        stages=[StageView(name=stage, state="waiting") for stage in STAGES],
        trace_id=trace_id_of(record.traceparent),
        uri=record.event.uri,
    )

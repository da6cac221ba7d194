"""Runs: list, show, follow live, cancel, retry."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.inference.access.caller import actor_of, project_of
from services.inference.gateway import Gateway, gateway_of
from services.inference.routes.run_events import follow, show_run
from services.inference.routes.views import Accepted, RetryRequest
from services.inference.web.bodies import decode_object, read_body
from services.inference.web.operations import Operation, Query, json_response
from services.inference.web.problems import HttpProblem
from services.inference.web.questions import asked, most
from tidemill.contracts import Budget, CancelRun, RetryRun, RunState
from tidemill.contracts.queries import ListRuns, RunRow, RunView
from tidemill.errors import InvalidInput

_STATES = list(get_args(RunState))
_RETRY_BYTES = 64 << 10


async def list_runs(request: Request) -> Response:
    """Runs, newest first."""
    gateway = gateway_of(request)
    return json_response(await gateway.bus.ask(asked(request, ListRuns, "limit", "state")))


async def show(request: Request) -> Response:
    """One run."""
    return json_response(await _run(gateway_of(request), request))


async def events(request: Request) -> Response:
    """One run as it goes on: server-sent events until it ends."""
    gateway = gateway_of(request)
    run_id = request.path_params["run_id"]
    first = await _run(gateway, request)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    messages = follow(gateway, project_of(request), run_id, first, actor=actor_of(request))
    return StreamingResponse(messages, headers=headers, media_type="text/event-stream")


async def cancel(request: Request) -> Response:
    """End a run."""
    gateway = gateway_of(request)
    run = await _run(gateway, request)
    _refuse_unless(run["state"] == "running", run, "only a run that is running can be cancelled")
    command = CancelRun(project=project_of(request), actor=actor_of(request), run_id=run["run_id"])
    await gateway.bus.command(command)
    return json_response(Accepted(detail=f"run {run['run_id']} is being cancelled"), 202)


async def retry(request: Request) -> Response:
    """Start a run again from where it stopped."""
    gateway = gateway_of(request)
    run = await _run(gateway, request)
    _refuse_unless(
        run["state"] in ("failed", "cancelled"), run, "only a run that failed or was cancelled can be retried"
    )
    budget = _budget(await read_body(request, _RETRY_BYTES))
    command = RetryRun(project=project_of(request), actor=actor_of(request), run_id=run["run_id"], budget=budget)
    await gateway.bus.command(command)
    return json_response(Accepted(detail=f"run {run['run_id']} starts again from where it stopped"), 202)


def _budget(body: bytes) -> Budget | None:
    if not body.strip() or body.strip() == b"null":
        return None
    try:
        asked = RetryRequest.model_validate(decode_object(body))
    except ValidationError as invalid:
        error = invalid.errors()[0]
        where = ".".join(map(str, error["loc"]))
        problem = error["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{where}: {problem} (got {error['input']!r})") from None
    return Budget.model_validate(asked.model_dump())


async def _run(gateway: Gateway, request: Request) -> dict[str, Any]:
    return await show_run(gateway, project_of(request), request.path_params["run_id"])


def _refuse_unless(condition: bool, run: dict[str, Any], why: str) -> None:
    if not condition:
        raise HttpProblem(409, "wrong-state", f"run {run['run_id']} is {run['state']}; {why}", state=run["state"])


OPERATIONS = (
    Operation(
        "GET", "/v1/runs", list_runs, "Runs, newest first", "runs", scopes=("read",),
        answers=list[RunRow], problems=(400, 503),
        query=(
            most(50),
            Query("state", {"type": "string", "enum": _STATES}, "Only runs in this state."),
        ),
    ),
    Operation(
        "GET", "/v1/runs/{run_id:name}", show, "A run", "runs", scopes=("read",), answers=RunView, problems=(404, 503),
    ),
    Operation(
        "GET", "/v1/runs/{run_id:name}/events", events,
        "A run as it goes on: events `run` (RunView), `progress` (RunProgressed), `stage` (StageAnnounced), `run`",
        "runs", scopes=("read",), media_type="text/event-stream", problems=(404, 503),
    ),
    Operation(
        "POST", "/v1/runs/{run_id:name}:cancel", cancel, "End a run", "runs",
        scopes=("publish",), answers=Accepted, status=202, problems=(404, 409, 503),
    ),
    Operation(
        "POST", "/v1/runs/{run_id:name}:retry", retry, "Start a failed or cancelled run again", "runs",
        scopes=("publish",), answers=Accepted, takes=RetryRequest, takes_nothing=True, status=202,
        problems=(400, 404, 409, 413, 503),
    ),
)  # fmt: skip

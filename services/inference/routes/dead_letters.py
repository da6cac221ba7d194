"""Dead letters: list, replay."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from services.inference.access.caller import actor_of, project_of
from services.inference.gateway import gateway_of
from services.inference.routes.views import Accepted
from services.inference.web.operations import Operation, json_response
from services.inference.web.questions import asked, most
from tidemill.contracts import ReplayDeadLetter
from tidemill.contracts.queries import DeadLetterView, ListDeadLetters
from tidemill.errors import NotFound


async def list_dead_letters(request: Request) -> Response:
    """Messages that nobody could handle, newest first."""
    gateway = gateway_of(request)
    return json_response(await gateway.bus.ask(asked(request, ListDeadLetters, "limit")))


async def replay(request: Request) -> Response:
    """Publish a dead letter again."""
    gateway = gateway_of(request)
    project, letter = project_of(request), request.path_params["id"]
    missing = NotFound(f"there is no dead letter {letter[:40]!r}; GET /v1/dead-letters lists them")
    try:
        command = ReplayDeadLetter(project=project, actor=actor_of(request), letter=letter)
    except ValidationError:
        raise missing from None
    if await gateway.records.letters.get(project, letter) is None:
        raise missing
    if await gateway.records.letters.replayed(project, letter) is not None:
        raise NotFound(f"dead letter {letter} was replayed already; GET /v1/dead-letters lists the others")
    await gateway.bus.command(command)
    return json_response(Accepted(detail=f"dead letter {letter} is being published again"), 202)


OPERATIONS = (
    Operation(
        "GET", "/v1/dead-letters", list_dead_letters, "Messages that nobody could handle, newest first",
        "dead letters", scopes=("read",), answers=list[DeadLetterView], problems=(400, 503),
        query=(most(50),),
    ),
    Operation(
        "POST", "/v1/dead-letters/{id:name}:replay", replay, "Publish a dead letter again", "dead letters",
        scopes=("publish",), answers=Accepted, status=202, problems=(404, 503),
    ),
)  # fmt: skip

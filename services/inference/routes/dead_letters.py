"""Dead letters: list, replay."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from services.inference.gateway import gateway_of
from services.inference.routes.views import Accepted
from services.inference.web.operations import Operation, Query, json_response
from tidemill.contracts import ReplayDeadLetter
from tidemill.contracts.queries import DeadLetterView, ListDeadLetters
from tidemill.errors import InvalidInput, NotFound


async def list_dead_letters(request: Request) -> Response:
    """Messages that nobody could handle, newest first."""
    gateway = gateway_of(request)
    limit = request.query_params.get("limit", "50")
    try:
        question = ListDeadLetters.model_validate({"project": gateway.project, "limit": limit})
    except ValidationError as invalid:
        error = invalid.errors()[0]
        raise InvalidInput(f"query parameter 'limit': {error['msg']} (got {limit!r})") from None
    return json_response(await gateway.bus.ask(question))


async def replay(request: Request) -> Response:
    """Publish a dead letter again."""
    gateway = gateway_of(request)
    letter = request.path_params["id"]
    missing = NotFound(f"there is no dead letter {letter[:40]!r}; GET /v1/dead-letters lists them")
    try:
        command = ReplayDeadLetter(project=gateway.project, letter=letter)
    except ValidationError:
        raise missing from None
    if await gateway.records.letters.get(gateway.project, letter) is None:
        raise missing
    if await gateway.records.letters.replayed(gateway.project, letter) is not None:
        raise NotFound(f"dead letter {letter} was replayed already; GET /v1/dead-letters lists the others")
    await gateway.bus.command(command)
    return json_response(Accepted(detail=f"dead letter {letter} is being published again"), 202)


OPERATIONS = (
    Operation(
        "GET", "/v1/dead-letters", list_dead_letters, "Messages that nobody could handle, newest first",
        "dead letters", answers=list[DeadLetterView], problems=(400, 503),
        query=(Query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}, "How many at most."),),
    ),
    Operation(
        "POST", "/v1/dead-letters/{id:name}:replay", replay, "Publish a dead letter again", "dead letters",
        answers=Accepted, status=202, problems=(404, 503),
    ),
)  # fmt: skip

"""Dead letters: list, replay."""

from __future__ import annotations

import asyncio

import nats.errors
import nats.js.errors
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from services.inference.gateway import gateway_of
from services.inference.routes.views import Accepted
from services.inference.web.operations import Operation, Query, json_response
from tidemill.bus.subjects import DEAD
from tidemill.contracts import ReplayDeadLetter
from tidemill.contracts.queries import DeadLetterView, ListDeadLetters
from tidemill.errors import InvalidInput, NotFound, TransientError


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
    sequence = request.path_params["id"]
    missing = NotFound(f"there is no dead letter {sequence}; GET /v1/dead-letters lists them")
    if sequence < 1:
        raise missing
    try:
        await gateway.bus.jetstream.get_msg(DEAD, sequence)
    except nats.js.errors.NotFoundError:
        raise missing from None
    except (nats.errors.Error, nats.js.errors.Error, asyncio.TimeoutError, OSError) as error:
        raise TransientError(f"the dead letters cannot be read: {error!r}") from error
    await gateway.bus.command(ReplayDeadLetter(project=gateway.project, sequence=sequence))
    return json_response(Accepted(detail=f"dead letter {sequence} is being published again"), 202)


OPERATIONS = (
    Operation(
        "GET", "/v1/dead-letters", list_dead_letters, "Messages that nobody could handle, newest first",
        "dead letters", answers=list[DeadLetterView], problems=(400, 503),
        query=(Query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}, "How many at most."),),
    ),
    Operation(
        "POST", "/v1/dead-letters/{id:number}:replay", replay, "Publish a dead letter again", "dead letters",
        answers=Accepted, status=202, problems=(404, 503),
    ),
)  # fmt: skip

"""Query parameters as a question to the registry."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError
from starlette.requests import Request

from services.inference.access.caller import project_of
from services.inference.web.operations import Query
from tidemill.contracts.queries import Question
from tidemill.errors import InvalidInput

Q = TypeVar("Q", bound=Question)


def most(default: int) -> Query:
    """The parameter ``limit`` of a list."""
    return Query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": default}, "How many at most.")


def asked(request: Request, kind: type[Q], *parameters: str) -> Q:
    """The question of ``kind`` that the request asks about its caller's project with these query parameters.

    What is absent has its default.

    Raises:
        InvalidInput: a parameter has a value that it cannot have.
    """
    given = {name: request.query_params[name] for name in parameters if name in request.query_params}
    try:
        return kind.model_validate({"project": project_of(request), **given})
    except ValidationError as invalid:
        error = invalid.errors()[0]
        raise InvalidInput(f"query parameter {error['loc'][0]!r}: {error['msg']} (got {error['input']!r})") from None

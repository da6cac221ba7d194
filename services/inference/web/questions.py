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
_DIGITS = 18


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


def whole_number(request: Request, name: str, *, most: int | None = None) -> int | None:
    """The query parameter ``name`` as a number from 1 to ``most``, None when it is absent.

    Raises:
        InvalidInput: it is no such number.
    """
    given = request.query_params.get(name)
    if given is None:
        return None
    if (
        not given.isascii()
        or not given.isdigit()
        or len(given) > _DIGITS
        or not 1 <= int(given) <= (most or int(given))
    ):
        up_to = f"from 1 to {most}" if most is not None else "of 1 or more"
        raise InvalidInput(f"query parameter {name!r}: give a whole number {up_to} (got {given[:40]!r})")
    return int(given)

"""An HTTP operation as declared: its route, and what the OpenAPI document says about it. One source for both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.inference.access import refusals
from services.inference.access.caller import caller_of
from services.inference.web.problems import HttpProblem
from tidemill.contracts import SCOPES, Scope

JSON = "application/json"

PUBLIC: tuple[Scope, ...] = ()
"""No caller is asked for: that a process answers is no secret."""
ANYBODY: tuple[Scope, ...] = SCOPES
"""Every caller who was let in."""


@dataclass(frozen=True)
class Query:
    """A query parameter: its name, JSON Schema and what it does."""

    name: str
    schema: dict[str, Any]
    description: str


@dataclass(frozen=True)
class Operation:
    """One method on one path. ``takes`` and ``answers`` are pydantic types (or ``list[type]``); None: no JSON body.

    ``scopes`` has no default, so that none can be forgotten: whoever has one of them may ask, or has ``admin``.
    """

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    summary: str
    tag: str
    scopes: tuple[Scope, ...] = field(kw_only=True)
    of_platform: bool = False
    """Whether what it shows is of all projects: not for a caller who is of one alone."""
    answers: Any = None
    takes: Any = None
    takes_nothing: bool = False
    """Whether the body may be absent."""
    form: type[BaseModel] | None = None
    """Fields of a multipart body that is taken beside or instead of ``takes``."""
    status: int = 200
    media_type: str = JSON
    other_media_types: Sequence[str] = ()
    """Those that a query parameter asks for."""
    query: Sequence[Query] = ()
    problems: Sequence[int] = field(default=(400, 404))

    def route(self) -> Route:
        """The Starlette route; it asks whether the caller may before it hands the request on."""
        return Route(self.path, self._guarded if self.scopes else self.handler, methods=[self.method])

    @property
    def is_public(self) -> bool:
        """Whether nobody is asked who they are."""
        return not self.scopes

    async def _guarded(self, request: Request) -> Response:
        caller = caller_of(request)
        refusal: HttpProblem | None = None
        if not caller.may(self.scopes):
            refusal = refusals.insufficient_scope(caller.actor, caller.scopes, self.scopes)
        elif self.of_platform and caller.one_project:
            refusal = refusals.not_of_the_platform(caller.actor, caller.project)
        if refusal is not None:
            request.app.state.gateway.metrics.refuse(request.scope, refusal)
            raise refusal
        return await self.handler(request)


class NameConvertor(Convertor[str]):
    """A name in a path: ends before ``/`` and before ``:``, which starts an action (``/v1/runs/{id}:cancel``)."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


class NumberConvertor(Convertor[int]):
    """A whole number in a path. One with more digits than this names nothing; ``int`` refuses thousands of them."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        """The number."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Its digits."""
        return str(value)


register_url_convertor("name", NameConvertor())
register_url_convertor("number", NumberConvertor())


def json_response(value: Any, status: int = 200) -> Response:
    """JSON of plain values, NumPy values or a pydantic model."""
    if isinstance(value, BaseModel):
        return Response(value.model_dump_json().encode(), status, media_type=JSON)
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type=JSON)

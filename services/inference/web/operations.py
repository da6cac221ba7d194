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

JSON = "application/json"


@dataclass(frozen=True)
class Query:
    """A query parameter: its name, JSON Schema and what it does."""

    name: str
    schema: dict[str, Any]
    description: str


@dataclass(frozen=True)
class Operation:
    """One method on one path. ``takes`` and ``answers`` are pydantic types (or ``list[type]``); None: no JSON body."""

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    summary: str
    tag: str
    answers: Any = None
    takes: Any = None
    takes_nothing: bool = False
    """Whether the body may be absent."""
    form: type[BaseModel] | None = None
    """Fields of a multipart body that is taken beside or instead of ``takes``."""
    status: int = 200
    media_type: str = JSON
    query: Sequence[Query] = ()
    problems: Sequence[int] = field(default=(400, 404))

    def route(self) -> Route:
        """The Starlette route."""
        return Route(self.path, self.handler, methods=[self.method])


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

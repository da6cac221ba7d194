"""Request bodies, read within bounds: a body over the limit is refused while it streams in, never held."""

from __future__ import annotations

import zlib
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from services.inference.access.caller import caller_of
from services.inference.web.problems import HttpProblem
from tidemill.errors import InvalidInput

T = TypeVar("T")

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_LENGTH_DIGITS = 18
"""More digits than that name no length that there is, and ``int`` refuses a few thousand of them."""


async def read_body(request: Request, limit: int) -> bytes:
    """The body, decompressed as ``Content-Encoding`` says, at most ``limit`` bytes before and after that.

    A caller with a smaller limit of their own has that one.

    Raises:
        HttpProblem: 413 beyond the limit, 415 for an unknown encoding.
        InvalidInput: the compressed bytes are damaged.
    """
    limit = allowed_bytes(request, limit)
    refuse_declared_length(request, limit)
    parts: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        parts.append(chunk)
    body = b"".join(parts)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise HttpProblem(415, "unknown-encoding", f"Content-Encoding {encoding!r} is not known; use gzip or deflate")
    return _decompressed(body, limit)


def allowed_bytes(request: Request, limit: int) -> int:
    """How large a body of this caller's may be where anybody's may have ``limit`` bytes."""
    own = caller_of(request).body_bytes
    return limit if own is None else min(limit, own)


def refuse_declared_length(request: Request, limit: int) -> None:
    """Refuse by ``Content-Length`` alone, before a byte is read.

    Raises:
        HttpProblem: 413.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > _LENGTH_DIGITS or int(declared) > limit):
        raise too_large(limit)


def too_large(limit: int) -> HttpProblem:
    """413 that names the limit."""
    return HttpProblem(413, "body-too-large", f"the request body may have at most {limit:,} bytes; send less at once")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """JSON into the decoder's type.

    Raises:
        InvalidInput: malformed JSON, nested too deeply, or a field that is missing or has the wrong type; names it.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the request body is not what is expected: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the request body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidInput("the request body is nested too deeply; send flatter JSON") from None


def decode_object(body: bytes) -> dict[str, Any]:
    """JSON that has to be an object.

    Raises:
        InvalidInput: as ``decode``.
    """
    return decode(_OBJECT, body)


_OBJECT = msgspec.json.Decoder(dict[str, Any])


def _decompressed(body: bytes, limit: int) -> bytes:
    inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = inflate.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInput(f"the compressed request body is damaged: {error}") from None
    if len(plain) > limit:
        raise too_large(limit)
    if not inflate.eof:
        raise InvalidInput("the compressed request body ends too early")
    return plain

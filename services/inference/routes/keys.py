"""API keys of the caller's project: issue, list, rotate, revoke. A key is shown once, in the answer that made it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from services.inference.access.caller import actor_of, project_of
from services.inference.access.key_text import KeyText
from services.inference.gateway import Gateway, gateway_of
from services.inference.routes.models import sentences
from services.inference.routes.views import Accepted, KeyRequest, RotateRequest
from services.inference.web.bodies import decode_object, read_body
from services.inference.web.operations import Operation, json_response
from services.inference.web.problems import HttpProblem
from tidemill.contracts import AccessKey, IssueKey, KeyGrant, KeyView, NewKey, RevokeKey, RotateKey
from tidemill.contracts.section import Section
from tidemill.errors import InvalidInput, NotFound

R = TypeVar("R", bound=Section)

HEARD_WITHIN = 5.0
"""Seconds to wait until the registry has carried a command out and this gateway has heard of it."""
_TICK = 0.01
_BODY_BYTES = 64 << 10


async def issue(request: Request) -> Response:
    """Make a key. It is taken when the answer comes, unless its state is ``pending``."""
    gateway = gateway_of(request)
    asked = _read(KeyRequest, await read_body(request, _BODY_BYTES))
    now = datetime.now(UTC)
    grant = KeyGrant(
        name=asked.name,
        scopes=asked.scopes,
        rate=asked.rate,
        body_bytes=asked.body_bytes,
        ends_at=now + asked.expires_in if asked.expires_in is not None else None,
    )
    made = KeyText.make()
    command = IssueKey(
        project=project_of(request), actor=actor_of(request), key_id=made.key_id, digest=made.digest, grant=grant
    )
    await gateway.bus.command(command)
    pending = AccessKey(
        project=command.project, key_id=made.key_id, digest=made.digest, grant=grant, issued_at=now,
        issued_by=command.actor,
    )  # fmt: skip
    return await _shown_once(gateway, made, pending)


async def list_keys(request: Request) -> Response:
    """The keys of a project, the last issued first; no secrets."""
    now = datetime.now(UTC)
    keys = gateway_of(request).keys.of_project(project_of(request))
    return json_response([_view(key, now).model_dump(mode="json") for key in keys])


async def rotate(request: Request) -> Response:
    """Make a key that may do what another one may; that one is taken for a while longer."""
    gateway = gateway_of(request)
    old = _key(gateway, request)
    asked = _read(RotateRequest, await read_body(request, _BODY_BYTES) or b"{}")
    now = datetime.now(UTC)
    refusal = old.refusal(now)
    if refusal is not None:
        raise HttpProblem(409, "wrong-state", f"key {old.key_id} cannot be rotated: {refusal}; issue another one")
    made = KeyText.make()
    command = RotateKey(
        project=old.project, actor=actor_of(request), key_id=old.key_id, by=made.key_id, digest=made.digest,
        until=now + asked.grace,
    )  # fmt: skip
    await gateway.bus.command(command)
    pending = old.model_copy(
        update={
            "key_id": made.key_id, "digest": made.digest, "issued_at": now, "issued_by": command.actor,
            "replaces": old.key_id, "ended_at": None,
        }
    )  # fmt: skip
    return await _shown_once(gateway, made, pending)


async def revoke(request: Request) -> Response:
    """Take a key no longer."""
    gateway = gateway_of(request)
    key = _key(gateway, request)
    await gateway.bus.command(RevokeKey(project=key.project, actor=actor_of(request), key_id=key.key_id))

    def is_over() -> bool:
        known = gateway.keys.get(key.key_id)
        return known is not None and known.refusal(datetime.now(UTC)) is not None

    if await _heard(is_over):
        detail = f"key {key.key_id} is revoked"
    else:
        detail = f"key {key.key_id} is being revoked; it is still taken until the registry has carried that out"
    return json_response(Accepted(detail=detail), 202)


async def _shown_once(gateway: Gateway, made: KeyText, pending: AccessKey) -> Response:
    is_known = await _heard(lambda: gateway.keys.get(made.key_id) is not None)
    known = gateway.keys.get(made.key_id) or pending
    shown: dict[str, Any] = _view(known, datetime.now(UTC)).model_dump() | {"key": str(made)}
    if not is_known:
        shown["state"] = "pending"
    response = json_response(NewKey.model_validate(shown), 201)
    response.headers["Cache-Control"] = "no-store"
    return response


async def _heard(done: Callable[[], bool]) -> bool:
    """Whether a command's effect has come back to this gateway in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + HEARD_WITHIN
    while not done():
        if loop.time() > deadline:
            return False
        await asyncio.sleep(_TICK)
    return True


def _key(gateway: Gateway, request: Request) -> AccessKey:
    """The key that the path names.

    Raises:
        NotFound: the caller's project has none of that id.
    """
    key_id = request.path_params["key_id"]
    key = gateway.keys.get(key_id)
    if key is None or key.project != project_of(request):
        raise NotFound(f"there is no key {key_id[:40]!r}; GET /v1/keys lists the ones there are")
    return key


def _view(key: AccessKey, now: datetime) -> KeyView:
    ends = [at for at in (key.grant.ends_at, key.ended_at) if at is not None]
    if key.refusal(now) is None:
        state = "valid"
    elif key.ended_at is None or key.ended_at > now:
        state = "ended"
    else:
        state = "revoked" if key.ended_because == "revoked" else "replaced"
    return KeyView.model_validate(
        {
            "key_id": key.key_id, "issued_at": key.issued_at, "issued_by": key.issued_by, "replaces": key.replaces,
            **key.grant.model_dump(), "ends_at": min(ends, default=None), "state": state,
        }
    )  # fmt: skip


def _read(kind: type[R], body: bytes) -> R:
    try:
        return kind.model_validate(decode_object(body))
    except ValidationError as invalid:
        raise InvalidInput(sentences(invalid)) from None


OPERATIONS = (
    Operation(
        "POST", "/v1/keys", issue, "Issue an API key; the only time that it is shown", "keys",
        scopes=("admin",), answers=NewKey, takes=KeyRequest, status=201, problems=(400, 413, 503),
    ),
    Operation(
        "GET", "/v1/keys", list_keys, "API keys, the last issued first", "keys",
        scopes=("admin",), answers=list[KeyView], problems=(),
    ),
    Operation(
        "POST", "/v1/keys/{key_id:name}:rotate", rotate, "Issue a key in the place of another one", "keys",
        scopes=("admin",), answers=NewKey, takes=RotateRequest, takes_nothing=True, status=201,
        problems=(400, 404, 409, 413, 503),
    ),
    Operation(
        "DELETE", "/v1/keys/{key_id:name}", revoke, "Revoke an API key", "keys",
        scopes=("admin",), answers=Accepted, status=202, problems=(404, 503),
    ),
)  # fmt: skip

"""What may be served: versions revoked, and versions on record signed by the registry."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from services.inference.access.caller import actor_of, project_of
from services.inference.gateway import gateway_of
from services.inference.routes.models import model_of, sentences, version_of
from services.inference.routes.views import Accepted, RevokeRequest, SignRequest
from services.inference.web.bodies import decode_object, read_body
from services.inference.web.operations import Operation, json_response
from services.inference.web.problems import HttpProblem
from tidemill.contracts import RevokeVersion, SignVersions
from tidemill.errors import InvalidInput


async def revoke(request: Request) -> Response:
    """Take a version out of service for good."""
    gateway = gateway_of(request)
    model = await model_of(request)
    name, number = model["name"], request.path_params["version"]
    version = version_of(model, number)
    if version.get("revoked_at"):
        why = version["revoked_because"]
        raise HttpProblem(409, "revoked", f"version {number} of model {name!r} was revoked already: {why}")
    asked = await _asked(request, RevokeRequest)
    await gateway.bus.command(
        RevokeVersion(
            project=project_of(request), actor=actor_of(request), name=name, version=number, reason=asked.reason
        )
    )
    detail = f"version {number} of {name} goes out of service; its aliases fall back to the last good version"
    return json_response(Accepted(detail=detail), 202)


async def sign(request: Request) -> Response:
    """Have the registry sign versions on record that no trusted signer has signed."""
    gateway = gateway_of(request)
    asked = await _asked(request, SignRequest)
    await gateway.bus.command(
        SignVersions(project=project_of(request), actor=actor_of(request), name=asked.name, version=asked.version)
    )
    what = f"model {asked.name}" if asked.name else "all models"
    return json_response(Accepted(detail=f"the registry signs what is on record of {what}"), 202)


async def _asked(request: Request, kind: type[Any]) -> Any:
    body = await read_body(request, gateway_of(request).limits.predict_bytes)
    try:
        return kind.model_validate(decode_object(body) if body.strip() else {})
    except ValidationError as invalid:
        raise InvalidInput(sentences(invalid)) from None


OPERATIONS = (
    Operation(
        "POST", "/v1/models/{name:name}/versions/{version:number}:revoke", revoke,
        "Take a version out of service for good", "models",
        scopes=("admin",), answers=Accepted, takes=RevokeRequest, status=202, problems=(400, 404, 409, 503),
    ),
    Operation(
        "POST", "/v1/models:sign", sign, "Sign versions on record that no trusted signer has signed", "models",
        scopes=("admin",), answers=Accepted, takes=SignRequest, takes_nothing=True, status=202, problems=(400, 503),
    ),
)  # fmt: skip

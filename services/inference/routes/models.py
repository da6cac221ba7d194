"""Models: list, show, predict, promote, delete; deployments."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from services.inference.access.caller import actor_of, project_of
from services.inference.gateway import gateway_of
from services.inference.routes import prediction
from services.inference.routes.views import (
    Accepted,
    DeploymentView,
    PredictAnswer,
    PredictRequest,
    PromoteRequest,
    VersionWeight,
)
from services.inference.serving.models import ServedModels
from services.inference.web.bodies import decode, decode_object, read_body
from services.inference.web.operations import JSON, Operation, json_response
from services.inference.web.problems import HttpProblem
from services.inference.web.questions import asked as as_question
from services.inference.web.questions import most
from tidemill.contracts import DeleteModel, PromoteVersion
from tidemill.contracts.queries import ListModels, ModelRow, ModelView, ShowModel, VersionView
from tidemill.errors import InvalidInput, NotFound


class _Predict(msgspec.Struct, forbid_unknown_fields=True):
    """``PredictRequest``, decoded in a fraction of the time. Instances are the task's to validate."""

    instances: Any
    scores: bool = False


_predict_decoder = msgspec.json.Decoder(_Predict)
_encode = msgspec.json.Encoder().encode


async def predict(request: Request) -> Response:
    """Labels of raw instances."""
    gateway = gateway_of(request)
    project, name = project_of(request), request.path_params["name"]
    gateway.models.choose(project, name)  # an unknown model is no reason to read a body
    asked = decode(_predict_decoder, await read_body(request, gateway.limits.predict_bytes))
    with gateway.models.lease(project, name) as served:
        logits = await prediction.predict(gateway, served, asked.instances)
    found = served.task.predictions(logits, served.labels)
    if not asked.scores:
        for one in found:
            del one["scores"]
    answer = {"predictions": found, "model": served.name, "version": served.number}
    return Response(_encode(answer), media_type=JSON)


async def list_models(request: Request) -> Response:
    """The models with the newest versions."""
    gateway = gateway_of(request)
    return json_response(await gateway.bus.ask(as_question(request, ListModels, "limit")))


async def show_model(request: Request) -> Response:
    """One model with its versions."""
    return json_response(await model_of(request))


async def show_version(request: Request) -> Response:
    """One version of a model."""
    model = await model_of(request)
    number = request.path_params["version"]
    return json_response(version_of(model, number))


async def promote(request: Request) -> Response:
    """Point an alias to a version, whatever the gates say."""
    gateway = gateway_of(request)
    document = decode_object(await read_body(request, gateway.limits.predict_bytes))
    try:
        asked = PromoteRequest.model_validate(document)
    except ValidationError as invalid:
        raise InvalidInput(sentences(invalid)) from None
    version = version_of(await model_of(request), asked.version)
    name = request.path_params["name"]
    if version.get("revoked_at"):
        why = version["revoked_because"]
        raise HttpProblem(409, "revoked", f"version {asked.version} of model {name!r} was revoked: {why}")
    await gateway.bus.command(
        PromoteVersion(
            project=project_of(request), actor=actor_of(request), name=name, version=asked.version, alias=asked.alias
        )
    )
    return json_response(Accepted(detail=f"alias {asked.alias} of {name} moves to version {asked.version}"), 202)


async def delete(request: Request) -> Response:
    """Delete all versions of a model; it stops serving."""
    gateway = gateway_of(request)
    name = (await model_of(request))["name"]
    await gateway.bus.command(DeleteModel(project=project_of(request), actor=actor_of(request), name=name))
    return json_response(Accepted(detail=f"model {name} is being deleted; a garbage collection frees its storage"), 202)


async def delete_version(request: Request) -> Response:
    """Delete one version of a model, which must not be its champion."""
    gateway = gateway_of(request)
    model = await model_of(request)
    name, number = model["name"], request.path_params["version"]
    version_of(model, number)
    if model["aliases"].get("champion") == number:
        raise HttpProblem(
            409,
            "in-use",
            f"version {number} of model {name!r} is its champion; promote another version first, "
            "or delete the whole model",
        )
    await gateway.bus.command(
        DeleteModel(project=project_of(request), actor=actor_of(request), name=name, version=number)
    )
    detail = f"version {number} of model {name} is being deleted; a garbage collection frees its storage"
    return json_response(Accepted(detail=detail), 202)


async def list_deployments(request: Request) -> Response:
    """What ought to serve, and what does."""
    views = deployment_views(gateway_of(request).models, project_of(request))
    return json_response([view.model_dump(mode="json") for view in views])


def deployment_views(models: ServedModels, project: str) -> list[DeploymentView]:
    """Every deployment of a project with its state."""
    desired = {deployment.name: deployment for deployment in models.deployments() if deployment.project == project}
    return [
        DeploymentView(
            name=status.name,
            state=status.state,
            desired=[VersionWeight(version=one.version, weight=one.weight) for one in desired[status.name].versions],
            serving=[VersionWeight(version=number, weight=weight) for number, weight in status.versions],
            variant=status.variant,
            error=status.error,
        )
        for status in models.status(project)
    ]


def sentences(invalid: ValidationError) -> str:
    """Pydantic's errors in words that name the field."""
    return "; ".join(
        f"field {'.'.join(map(str, error['loc'])) or '(body)'!r}: {error['msg'].removeprefix('Value error, ')}"
        for error in invalid.errors()
    )


async def model_of(request: Request) -> dict[str, Any]:
    """The model that the path names, as the registry shows it; raises NotFound when there is none."""
    gateway = gateway_of(request)
    name = request.path_params["name"]
    try:
        question = ShowModel(project=project_of(request), name=name)
    except ValidationError:
        raise NotFound(f"{name!r} cannot be the name of a model; GET /v1/models lists them") from None
    answer: dict[str, Any] = await gateway.bus.ask(question)
    return answer


def version_of(model: dict[str, Any], number: int) -> dict[str, Any]:
    """One version of a model that the registry has shown; raises NotFound when it has none of that number."""
    for version in model["versions"]:
        if version["version"] == number:
            found: dict[str, Any] = version
            return found
    numbers = ", ".join(str(version["version"]) for version in model["versions"]) or "none"
    raise NotFound(f"model {model['name']!r} has no version {number}; it has {numbers}")


OPERATIONS = (
    Operation(
        "POST", "/v1/models/{name:name}:predict", predict, "Labels of raw instances", "models",
        scopes=("predict",), answers=PredictAnswer, takes=PredictRequest, problems=(400, 404, 413, 422, 429, 503),
    ),
    Operation(
        "GET", "/v1/models", list_models, "Models, newest versions first", "models", scopes=("read",),
        answers=list[ModelRow], problems=(400, 503),
        query=(most(200),),
    ),
    Operation(
        "GET", "/v1/models/{name:name}", show_model, "A model and its versions", "models",
        scopes=("read",), answers=ModelView, problems=(404, 503),
    ),
    Operation(
        "GET", "/v1/models/{name:name}/versions/{version:number}", show_version, "One version of a model", "models",
        scopes=("read",), answers=VersionView, problems=(404, 503),
    ),
    Operation(
        "DELETE", "/v1/models/{name:name}", delete, "Delete a model with all its versions", "models",
        scopes=("admin",), answers=Accepted, status=202, problems=(404, 503),
    ),
    Operation(
        "DELETE", "/v1/models/{name:name}/versions/{version:number}", delete_version, "Delete a version of a model",
        "models", scopes=("admin",), answers=Accepted, status=202, problems=(404, 409, 503),
    ),
    Operation(
        "POST", "/v1/models/{name:name}:promote", promote, "Point an alias to a version", "models",
        scopes=("admin",), answers=Accepted, takes=PromoteRequest, status=202, problems=(400, 404, 409, 503),
    ),
    Operation(
        "GET", "/v1/deployments", list_deployments, "What serves", "models",
        scopes=("read", "predict"), answers=list[DeploymentView], problems=(),
    ),
)  # fmt: skip

"""The OpenAPI 3.1 document, made from the declared operations. Pure: no app, no settings; the same every time."""

from __future__ import annotations

import http
import re
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.inference.routes import (
    audit,
    dataset_versions,
    datasets,
    dead_letters,
    erasures,
    inference,
    keys,
    models,
    platform,
    run_artifacts,
    runs,
    signing,
)
from services.inference.routes.views import ProblemDocument, StageAnnounced
from services.inference.web.operations import Operation
from services.inference.web.problems import MEDIA_TYPE
from tidemill.contracts import RunProgressed

OPERATIONS: tuple[Operation, ...] = (
    *models.OPERATIONS,
    *inference.OPERATIONS,
    *datasets.OPERATIONS,
    *dataset_versions.OPERATIONS,
    *runs.OPERATIONS,
    *run_artifacts.OPERATIONS,
    *signing.OPERATIONS,
    *dead_letters.OPERATIONS,
    *keys.OPERATIONS,
    *audit.OPERATIONS,
    *erasures.OPERATIONS,
    *platform.OPERATIONS,
)
"""Every operation of the gateway, in the order in which the router tries them."""

API_VERSION = "1.0"
"""Of the HTTP interface, not of the program."""

_PARAMETER = re.compile(r"\{(\w+):(\w+)\}")
_TYPES: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "pattern": "^[^/:]+$"},
    "path": {"type": "string"},
    "number": {"type": "integer", "minimum": 1, "maximum": 10**18 - 1},
}
_REFUSALS = (400, 401, 403, 429, 503)
"""What any operation that asks for a caller may answer: to headers that contradict themselves, too, and when busy."""
_OF_BODIES = (400, 413, 415)
"""What any operation that reads a body may answer."""
_REFERENCE = "#/components/schemas/{model}"


def document() -> dict[str, Any]:
    """The document as plain JSON values."""
    references, schemas = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        path = _PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidemill gateway",
            "version": API_VERSION,
            "description": (
                "Publish datasets, follow runs, ask the models that come out. Errors are RFC 9457 problems. "
                "Callers who are of no single project name it by the header Tidemill-Project (percent-encoded UTF-8)."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(operation.tag for operation in OPERATIONS)],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": (
                        "An API key (tm_...), a token of the configured OpenID Connect issuer, or the operator's key. "
                        "An operation takes whoever has one of the scopes listed, or admin. Not needed on a loopback "
                        "address without authentication."
                    ),
                }
            },
        },
    }


def _described(operation: Operation, references: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _identifier(operation),
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": [{"bearer": [scope]} for scope in operation.scopes],
        "responses": _responses(operation, references),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _TYPES[kind]}
        for name, kind in _PARAMETER.findall(operation.path)
    ]
    parameters += [
        {"name": query.name, "in": "query", "schema": query.schema, "description": query.description}
        for query in operation.query
    ]
    if parameters:
        described["parameters"] = parameters
    content: dict[str, Any] = {}
    if operation.takes is not None:
        content["application/json"] = {"schema": _schema(operation.takes, references)}
    if operation.form is not None:
        content["multipart/form-data"] = {"schema": _schema(operation.form, references)}
    if content:
        described["requestBody"] = {"required": not operation.takes_nothing, "content": content}
    return described


def _responses(operation: Operation, references: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": http.HTTPStatus(operation.status).phrase}
    schema = _schema(operation.answers, references) if operation.answers is not None else {"type": "string"}
    success["content"] = {operation.media_type: {"schema": schema}}
    success["content"] |= {kind: {"schema": {}} for kind in operation.other_media_types}
    responses: dict[str, Any] = {str(operation.status): success}
    guarded = () if operation.is_public else _REFUSALS
    bodies = _OF_BODIES if operation.takes is not None or operation.form is not None else ()
    for status in sorted({*operation.problems, *guarded, *bodies}):
        responses[str(status)] = {
            "description": http.HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": references[ProblemDocument]}},
        }
    return responses


def _schema(kind: Any, references: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    if kind is dict:
        return {"type": "object"}
    if get_origin(kind) is list:
        return {"type": "array", "items": _schema(get_args(kind)[0], references)}
    return references[kind]


def _schemas() -> tuple[dict[type[BaseModel], dict[str, Any]], dict[str, Any]]:
    """References to the schemas of all declared models, and the schemas themselves by name."""
    kinds: dict[type[BaseModel], None] = dict.fromkeys((ProblemDocument, RunProgressed, StageAnnounced))
    for operation in OPERATIONS:
        for kind in (operation.answers, operation.takes, operation.form):
            model = get_args(kind)[0] if get_origin(kind) is list else kind
            if isinstance(model, type) and issubclass(model, BaseModel):
                kinds[model] = None
    keyed, definitions = models_json_schema([(kind, "validation") for kind in kinds], ref_template=_REFERENCE)
    references = {kind: keyed[kind, "validation"] for kind in kinds}
    return references, dict(sorted(definitions.get("$defs", {}).items()))


def _identifier(operation: Operation) -> str:
    words = re.findall(r"[a-z0-9]+", _PARAMETER.sub(r"by_\1", operation.path).lower())
    return "_".join((operation.method.lower(), *words))

"""Datasets over HTTP: published, as an upload or by address, with the run's record written first; listed, deleted."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from services.inference.access.caller import actor_of, project_of
from services.inference.gateway import Gateway, gateway_of
from services.inference.leftovers import UPLOAD, own_prefix
from services.inference.routes.dataset_fields import FIELDS, checked_recipe, form_values
from services.inference.routes.models import sentences
from services.inference.routes.views import (
    Accepted,
    PublishAnswer,
    PublishForm,
    PublishLinks,
    PublishRequest,
)
from services.inference.uploads import receive_form
from services.inference.web.bodies import decode_object, read_body
from services.inference.web.operations import Operation, Query, json_response
from services.inference.web.problems import HttpProblem
from services.inference.web.questions import asked, most
from tidemill.audit import put_on_record
from tidemill.contracts import DatasetPublished, DeleteDataset
from tidemill.contracts.queries import DatasetRow, ListDatasets
from tidemill.errors import InvalidInput, NotFound, TransientError
from tidemill.records.schema import RunRecord
from tidemill.telemetry import current_traceparent, span


async def publish(request: Request) -> Response:
    """Begin a run."""
    gateway = gateway_of(request)
    with span("publish", kind="server") as root:  # a trace of its own: nothing above it
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            event = await _uploaded(gateway, request)
        elif kind in ("application/json", ""):
            event = await _by_address(gateway, request)
        else:
            raise HttpProblem(415, "unknown-media-type", "send multipart/form-data with files, or application/json")
        root.set_attribute("run_id", event.run_id)
        root.set_attribute("name", event.name)
        await _begin(gateway, event, actor_of(request))
    run, model = f"/v1/runs/{event.run_id}", f"/v1/models/{quote(event.name)}"
    links = PublishLinks(self=run, events=f"{run}/events", model=model, predict=f"{model}:predict")
    return json_response(PublishAnswer(run_id=event.run_id, name=event.name, events=links.events, links=links), 202)


async def list_datasets(request: Request) -> Response:
    """The datasets with the newest runs, or one of them."""
    gateway = gateway_of(request)
    return json_response(await gateway.bus.ask(asked(request, ListDatasets, "limit", "name")))


async def delete(request: Request) -> Response:
    """Delete what the runs of a dataset that have ended took in and prepared."""
    gateway = gateway_of(request)
    name = request.path_params["name"]
    try:
        rows = await gateway.bus.ask(ListDatasets(project=project_of(request), name=name))
    except ValidationError:  # what cannot be a name
        rows = []
    row = next((row for row in rows if row["name"] == name and not row["deleted"]), None)
    if row is None:
        raise NotFound(f"there is no dataset {name!r}; GET /v1/datasets lists the ones there are")
    if row["running"] == row["runs"]:
        raise HttpProblem(
            409, "in-use", f"dataset {name!r} is in use by a run that goes on; cancel the run or wait for its end"
        )
    await gateway.bus.command(DeleteDataset(project=project_of(request), actor=actor_of(request), name=name))
    detail = f"dataset {name} is being deleted; a garbage collection frees its storage"
    return json_response(Accepted(detail=detail), 202)


def new_run_id() -> str:
    """Sortable by time: ``run-<milliseconds since 1970 in hex>-<chance>``."""
    return f"run-{time.time_ns() // 1_000_000:011x}-{secrets.token_hex(4)}"


async def _begin(gateway: Gateway, event: DatasetPublished, actor: str) -> None:
    record = RunRecord(event=event, created_at=datetime.now(UTC), traceparent=current_traceparent(), actor=actor)
    await gateway.records.create_run(record)
    await put_on_record(
        gateway.records, event.project, actor=record.actor, action="publish-dataset", subject=f"run:{event.run_id}",
        reason=f"dataset {event.name}",
    )  # fmt: skip
    try:
        await gateway.bus.announce(event, fingerprint="published")
    except TransientError:
        raise HttpProblem(
            503,
            "bus-away",
            f"the run {event.run_id} is on record, but NATS does not answer; the run starts when NATS is back",
            run_id=event.run_id,
        ) from None


async def _by_address(gateway: Gateway, request: Request) -> DatasetPublished:
    document = decode_object(await read_body(request, gateway.limits.predict_bytes))
    try:
        asked = PublishRequest.model_validate(document)
    except ValidationError as invalid:
        raise InvalidInput(sentences(invalid)) from None
    return _event(request, {**asked.model_dump(), "recipe": checked_recipe(asked.recipe, actor_of(request))})


async def _uploaded(gateway: Gateway, request: Request) -> DatasetPublished:
    gateway.scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(await run_in_threadpool(tempfile.mkdtemp, prefix=own_prefix(UPLOAD), dir=gateway.scratch))
    limits = gateway.limits
    try:
        form = await receive_form(
            request, folder, fields=FIELDS, max_bytes=limits.upload_bytes, max_files=limits.upload_files
        )
        if not form.files:
            raise InvalidInput("no file was sent; add a part named 'file' with a file name")
        if "name" not in form.fields:
            raise InvalidInput("field 'name' is missing; it names the dataset and the model")
        values = form_values(form.fields, actor_of(request))
        _event(request, {**values, "uri": "upload:"})  # a wrong name must not cost an upload to the store
        source = await gateway.store.put(folder, kind="source")
    finally:
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)
    return _event(request, {**values, "source": source})


def _event(request: Request, values: Mapping[str, Any]) -> DatasetPublished:
    try:
        return DatasetPublished.model_validate(
            {**values, "project": project_of(request), "run_id": new_run_id(), "origin": "http"}
        )
    except ValidationError as invalid:
        raise InvalidInput(sentences(invalid)) from None


OPERATIONS = (
    Operation(
        "POST", "/v1/datasets", publish, "Publish a dataset: begin a run", "datasets", scopes=("publish",),
        answers=PublishAnswer, takes=PublishRequest, form=PublishForm, status=202, problems=(400, 413, 415, 503),
    ),
    Operation(
        "GET", "/v1/datasets", list_datasets, "Datasets, newest runs first", "datasets", scopes=("read",),
        answers=list[DatasetRow], problems=(400, 503),
        query=(
            most(200),
            Query("name", {"type": "string"}, "Only the dataset of this name."),
        ),
    ),
    Operation(
        "DELETE", "/v1/datasets/{name:name}", delete,
        "Delete what was taken in and prepared of a dataset; models trained on it stay", "datasets",
        scopes=("admin",), answers=Accepted, status=202, problems=(404, 409, 503),
    ),
)  # fmt: skip

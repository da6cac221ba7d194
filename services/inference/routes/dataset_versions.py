"""Versions of a dataset and the data reports of runs, read from the records: nothing else has to be up."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services.inference.access.caller import project_of
from services.inference.gateway import Gateway, gateway_of
from services.inference.routes.run_artifacts import artifacts_of
from services.inference.web.operations import JSON, Operation, Query, json_response
from tidemill.contracts import ArtifactRef, DatasetIngested
from tidemill.contracts.queries import DatasetVersionView
from tidemill.errors import InvalidInput, NotFound
from tidemill.records.schema import DatasetVersionRecord
from tidemill.stage.announced import announced

HTML = "text/html; charset=utf-8"
_LOCKED = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
"""A page shows what came with somebody's data: nothing in it runs or loads."""


async def versions(request: Request) -> Response:
    """The versions of a dataset, the newest first, with where each comes from."""
    gateway = gateway_of(request)
    project, name = project_of(request), request.path_params["name"]
    try:
        found = await gateway.records.dataset_versions(project, name)
    except InvalidInput:  # what cannot be a name
        found = []
    if not found:
        raise NotFound(f"dataset {name!r} has no version; GET /v1/datasets lists the datasets there are")
    return json_response([(await _view(gateway, project, one)).model_dump(mode="json") for one in reversed(found)])


async def report(request: Request) -> Response:
    """The data report of a run: a page for people, or JSON."""
    gateway = gateway_of(request)
    run_id = request.path_params["run_id"]
    wanted = request.query_params.get("format", "html")
    if wanted not in ("html", "json"):
        raise InvalidInput(f"format is {wanted!r}; it can be html or json")
    artifact = await _report_of(gateway, project_of(request), run_id)
    body = await gateway.store.read(artifact, f"report.{wanted}")
    media_type = HTML if wanted == "html" else JSON
    return Response(body, media_type=media_type, headers=_LOCKED)


async def _report_of(gateway: Gateway, project: str, run_id: str) -> ArtifactRef:
    made = (await artifacts_of(gateway, project, run_id)).get("report")
    if made is not None:
        return made
    for outcome in reversed(await gateway.records.outcomes(project, run_id)):
        if outcome.evidence is not None:  # its dataset was prepared, and did not pass the quality gate
            return outcome.evidence
    raise NotFound(f"run {run_id!r} has no data report yet; there is one when its dataset is prepared")


async def _view(gateway: Gateway, project: str, version: DatasetVersionRecord) -> DatasetVersionView:
    record = await gateway.records.stage(project, version.run_id, "ingest")
    event = announced(record) if record is not None else None
    ingested = event if isinstance(event, DatasetIngested) else None
    return DatasetVersionView(
        version=version.version,
        run_id=version.run_id,
        at=version.at,
        uri=version.uri,
        source=version.source.digest,
        licence=version.licence,
        owner=version.owner,
        append=version.append,
        erasure=version.erasure,
        rows=ingested.rows if ingested else None,
        parts=ingested.parts if ingested else {},
        dataset=ingested.dataset.digest if ingested else None,
        quarantined=ingested is not None and ingested.quarantine is not None,
    )


OPERATIONS = (
    Operation(
        "GET", "/v1/datasets/{name:name}/versions", versions,
        "Versions of a dataset with their provenance, newest first", "datasets", scopes=("read",),
        answers=list[DatasetVersionView], problems=(404, 503),
    ),
    Operation(
        "GET", "/v1/runs/{run_id:name}/report", report, "The data report of a run", "runs", scopes=("read",),
        media_type=HTML, other_media_types=(JSON,), problems=(400, 404, 503),
        query=(Query("format", {"type": "string", "enum": ["html", "json"]}, "A page, or the same as JSON."),),
    ),
)  # fmt: skip

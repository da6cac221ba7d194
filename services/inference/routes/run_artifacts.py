"""What a run made of its dataset, to take away: files of its artifacts, streamed from the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import get_args

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.inference.access.caller import project_of
from services.inference.gateway import Gateway, gateway_of
from services.inference.web.operations import Operation, json_response
from tidemill.contracts import ArtifactRef, DatasetIngested, DatasetPrepared
from tidemill.contracts.queries import ArtifactFiles, RunArtifact
from tidemill.errors import InvalidInput, NotFound
from tidemill.stage.announced import announced

BYTES = "application/octet-stream"
_CHUNK = 4 << 20


async def list_files(request: Request) -> Response:
    """The files of one of a run's artifacts, with their sizes."""
    gateway = gateway_of(request)
    artifact = await _artifact(gateway, request)
    files = await gateway.store.files(artifact)
    return json_response(ArtifactFiles(digest=artifact.digest, files=files))


async def read_file(request: Request) -> Response:
    """One file, streamed."""
    gateway = gateway_of(request)
    artifact = await _artifact(gateway, request)
    path = request.path_params["path"]
    size = (await gateway.store.files(artifact)).get(path)
    if size is None:
        raise NotFound(f"the artifact has no file {path!r}; the address without it lists its files")
    headers = {"Content-Length": str(size), "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(_stream(gateway, artifact, path, size), media_type=BYTES, headers=headers)


async def _stream(gateway: Gateway, artifact: ArtifactRef, path: str, size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, _CHUNK):
        yield await gateway.store.read(artifact, path, start=start, length=min(_CHUNK, size - start))


async def artifacts_of(gateway: Gateway, project: str, run_id: str) -> dict[str, ArtifactRef | None]:
    """What the run's stages that are done made of its dataset, by name; None for what there was no reason to make.

    Raises:
        NotFound: there is no such run.
    """
    missing = NotFound(f"there is no run {run_id!r}; GET /v1/runs lists the ones there are")
    try:
        run = await gateway.records.run(project, run_id)
    except InvalidInput:  # what cannot be an id
        raise missing from None
    if run is None:
        raise missing
    found: dict[str, ArtifactRef | None] = {}
    for stage in await gateway.records.stages(project, run_id):
        event = announced(stage)
        if isinstance(event, DatasetIngested):
            found |= {"ingested": event.dataset, "quarantine": event.quarantine}
        elif isinstance(event, DatasetPrepared):
            found |= {"dataset": event.dataset, "report": event.report, "vault": event.vault}
    return found


async def _artifact(gateway: Gateway, request: Request) -> ArtifactRef:
    run_id, what = request.path_params["run_id"], request.path_params["what"]
    if what not in get_args(RunArtifact):
        raise NotFound(f"a run has no artifact {what!r}; it can be {', '.join(get_args(RunArtifact))}")
    found = await artifacts_of(gateway, project_of(request), run_id)
    artifact = found.get(what)
    if artifact is None:
        raise NotFound(f"run {run_id!r} has no {what}" + ("" if what in found else " yet"))
    return artifact


OPERATIONS = (
    Operation(
        "GET", "/v1/runs/{run_id:name}/artifacts/{what:name}", list_files,
        "Files of what a run made of its dataset: dataset (prepared), ingested, quarantine, report, vault", "runs",
        scopes=("read",), answers=ArtifactFiles, problems=(404, 503),
    ),
    Operation(
        "GET", "/v1/runs/{run_id:name}/artifacts/{what:name}/{path:path}", read_file, "One of these files", "runs",
        scopes=("read",), media_type=BYTES, problems=(404, 503),
    ),
)  # fmt: skip

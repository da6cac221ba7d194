"""A small gateway for tests of clients: the real HTTP API over a real socket, with runs that follow a script.

Needs starlette and uvicorn, which clients themselves do not.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tidemill.platform.nats_server import free_port

Sent = tuple[str, dict[str, Any]]
"""A server-sent event: its kind and its data."""


def run_view(state: str = "running", **changes: Any) -> dict[str, Any]:
    """A ``RunView`` as the gateway sends it."""
    stages = [{"name": name, "state": "waiting"} for name in ("ingest", "preprocess", "train", "compress", "register")]
    return {
        "project": "default", "run_id": "run-1", "name": "reviews", "state": state, "stages": stages,
        "created_at": "2026-11-01T12:00:00Z",
    } | changes  # fmt: skip


def finished_view(**changes: Any) -> dict[str, Any]:
    """A run that ended well, with figures."""
    names = ("ingest", "preprocess", "train", "compress", "register")
    figures = {
        "variant": "torch-fp32", "size_bytes": 90_000_000, "p50_ms": 20.0, "p95_ms": 25.0, "throughput": 100.0,
        "threads": 2, "metrics": {"accuracy": 0.91, "macro_f1": 0.9},
        "test_metrics": {"accuracy": 0.93, "macro_f1": 0.92},
    }  # fmt: skip
    smaller = {"variant": "openvino-int8", "size_bytes": 22_500_000, "p50_ms": 5.0, "throughput": 400.0}
    return run_view(
        "finished",
        **{
            "stages": [
                {"name": name, "state": "finished", "seconds": 2.0, "cached": name == "ingest", "jobs": 1}
                for name in names
            ],
            "seconds": 10.0, "model": "reviews", "version": 3, "promoted": True, "reason": "better than version 2",
            "metrics": {"accuracy": 0.93, "macro_f1": 0.92}, "original": figures,
            "compressed": figures | smaller | {"agreement": 0.99}, "trace_id": "0" * 31 + "1",
        } | changes,
    )  # fmt: skip


def erasure_view(**changes: Any) -> dict[str, Any]:
    """An ``ErasureView`` as the gateway sends it."""
    return {"id": "0123456789abcdef", "state": "waiting", "asked_at": "2026-11-01T12:00:00Z"} | changes


def progress(stage: str, fraction: float, **more: Any) -> Sent:
    """A ``RunProgressed`` of the run."""
    return "progress", {"run_id": "run-1", "stage": stage, "fraction": fraction, **more}


@dataclass
class ScriptedGateway:
    """Answers like the gateway. ``streams`` holds what each connection to a run's events gets, one after another;
    after the last the connection stays open. ``published`` collects what came in."""

    streams: list[Sequence[Sent]] = field(default_factory=list)
    view: dict[str, Any] = field(default_factory=run_view)
    published: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[list[Any]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """What came with the commands."""
    deleted: list[str] = field(default_factory=list)
    """Paths of DELETE requests."""
    erasures: list[dict[str, Any]] = field(default_factory=list)
    """What was asked to be erased."""
    erasure_views: list[dict[str, Any]] = field(default_factory=list)
    """What an erasure looks like, one answer after the other."""
    publish_problem: tuple[int, dict[str, Any]] | None = None
    port: int = field(default_factory=free_port)
    stopping: bool = False

    @property
    def url(self) -> str:
        """Its address, also while it does not run."""
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[ScriptedGateway]:
        """Serve until the block ends; it may run again afterwards on the same port."""
        self.stopping = False
        config = uvicorn.Config(self._app(), host="127.0.0.1", port=self.port, log_level="error", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield self
        finally:
            self.stopping = True
            server.should_exit = True
            thread.join(10)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/datasets", self._publish, methods=["POST"]),
                Route("/v1/datasets", self._datasets),
                Route("/v1/datasets/{name}", self._delete, methods=["DELETE"]),
                Route("/v1/datasets/{name}/versions", self._dataset_versions),
                Route("/v1/runs", self._runs),
                Route("/v1/runs/{run_id}/events", self._events),
                Route("/v1/runs/{run_id}/report", self._report),
                Route("/v1/runs/{action:path}", self._command, methods=["POST"]),
                Route("/v1/runs/{run_id}", self._show),
                Route("/v1/models", self._models),
                Route("/v1/models/{name}", self._model),
                Route("/v1/models/{name}", self._delete, methods=["DELETE"]),
                Route("/v1/models/{name}/versions/{version}", self._delete, methods=["DELETE"]),
                Route("/v1/models/{action:path}", self._predict, methods=["POST"]),
                Route("/v1/dead-letters", self._dead_letters),
                Route("/v1/erasures", self._erase, methods=["POST"]),
                Route("/v1/erasures/{id}", self._erasure),
                Route("/v1/status", self._status),
            ]
        )

    async def _publish(self, request: Request) -> Response:
        if request.headers["content-type"].startswith("multipart/"):
            form = await request.form()
            entry: dict[str, Any] = {key: value for key, value in form.items() if isinstance(value, str)}
            files = [one for one in form.getlist("file") if not isinstance(one, str)]
            entry["files"] = {one.filename: await one.read() for one in files}
        else:
            entry = await request.json()
        self.published.append(entry)
        if self.publish_problem is not None:
            status, document = self.publish_problem
            return JSONResponse(document, status)
        return JSONResponse({"run_id": "run-1", "name": entry["name"]}, 202)

    async def _events(self, request: Request) -> Response:
        if request.path_params["run_id"] != "run-1":
            return _missing(f"there is no run {request.path_params['run_id']!r}")
        sent = self.streams.pop(0) if self.streams else []
        more = bool(self.streams)

        async def body() -> Any:
            for kind, data in sent:
                if kind == "run":
                    self.view = data
                yield f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
            if more or self.view["state"] != "running":
                return
            import asyncio

            while not self.stopping:
                await asyncio.sleep(0.02)

        return StreamingResponse(body(), media_type="text/event-stream")

    async def _show(self, request: Request) -> Response:
        if request.path_params["run_id"] != "run-1":
            return _missing(f"there is no run {request.path_params['run_id']!r}")
        return JSONResponse(self.view)

    async def _runs(self, _: Request) -> Response:
        keys = ("run_id", "name", "state", "created_at", "model", "version")
        return JSONResponse([{key: self.view.get(key) for key in keys}])

    async def _command(self, request: Request) -> Response:
        action = request.path_params["action"]
        self.commands.append(action)
        self.bodies.append(await request.body())
        self.view = self.view | {"state": "cancelled" if action.endswith(":cancel") else "running"}
        return JSONResponse({"status": "accepted", "detail": action}, 202)

    async def _models(self, _: Request) -> Response:
        return JSONResponse([])

    async def _model(self, request: Request) -> Response:
        """``reviews`` has no versions left once it was deleted."""
        if request.path_params["name"] != "reviews" or "/v1/models/reviews" in self.deleted:
            return _missing(f"there is no model {request.path_params['name']!r}")
        return JSONResponse({"name": "reviews", "task": "text-classification", "aliases": {}, "versions": []})

    async def _datasets(self, _: Request) -> Response:
        row = {"name": "评论", "task": "text-classification", "rows": 1200, "runs": 3, "running": 1,
               "updated_at": "2026-11-01T12:00:00Z"}  # fmt: skip
        gone = "/v1/datasets/评论" in self.deleted
        return JSONResponse([row | {"versions": 0 if gone else 2, "size_bytes": 0 if gone else 5000, "deleted": gone}])

    async def _dataset_versions(self, request: Request) -> Response:
        if request.path_params["name"] != "评论":
            return _missing(f"dataset {request.path_params['name']!r} has no version")
        one = {"version": 1, "run_id": "run-1", "at": "2026-11-01T12:00:00Z", "uri": "https://data.org/1.csv",
               "source": "sha256:" + "1" * 64, "licence": "CC-BY-4.0", "owner": "统计局", "rows": 1200}  # fmt: skip
        two = one | {"version": 2, "run_id": "run-2", "uri": None, "append": True, "rows": None}
        return JSONResponse([two, one])

    async def _report(self, request: Request) -> Response:
        if request.path_params["run_id"] != "run-1":
            return _missing(f"run {request.path_params['run_id']!r} has no data report yet")
        return Response("<!doctype html><title>数据</title>", media_type="text/html; charset=utf-8")

    async def _delete(self, request: Request) -> Response:
        self.deleted.append(request.scope["path"])
        return JSONResponse({"status": "accepted", "detail": request.url.path}, 202)

    async def _predict(self, request: Request) -> Response:
        name = request.path_params["action"].removesuffix(":predict")
        if name != "reviews":
            return _missing(f"no model {name!r} is deployed; deployed are: reviews")
        instances = (await request.json())["instances"]
        self.predictions.append(instances)
        return JSONResponse({"predictions": [{"label": "好", "score": 0.9} for _ in instances], "version": 3})

    async def _dead_letters(self, _: Request) -> Response:
        return JSONResponse([])

    async def _erase(self, request: Request) -> Response:
        self.erasures.append(await request.json())
        return JSONResponse(erasure_view(), 202)

    async def _erasure(self, request: Request) -> Response:
        if request.path_params["id"] != erasure_view()["id"]:
            return _missing("there is no such erasure")
        return JSONResponse(self.erasure_views.pop(0))

    async def _status(self, _: Request) -> Response:
        serving = [{"name": "reviews", "state": "serving", "serving": [{"version": 3, "weight": 1.0}]}]
        parts = {"bus": {"connected": True}, "registry": {"reachable": True}, "store": {"reachable": True}}
        return JSONResponse({"models": serving, **parts})


def _missing(detail: str) -> Response:
    return JSONResponse({"title": "Not found", "status": 404, "detail": detail}, 404)

"""The gateway as a process: it starts without NATS, leaves when told to, and does not open itself to the world."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest

from services.inference.openapi import document
from services.inference.server import run
from tidemill.bus import Bus, Deployments
from tidemill.bus.streams import provision
from tidemill.contracts import DeployedVersion, Deployment
from tidemill.platform.nats_server import NatsServer, NatsServerConfig, free_port
from tidemill.testing.nats import running_nats, settings_for

ROOT = Path(__file__).parents[2]


def environment(folder: Path, port: int, **values: str) -> dict[str, str]:
    return os.environ | {
        "TIDEMILL_NATS_URL": f"nats://127.0.0.1:{free_port()}",
        "TIDEMILL_STORE_URL": str(folder / "store"),
        "TIDEMILL_DATA_DIR": str(folder),
        "TIDEMILL_INFERENCE_PORT": str(port),
        **values,
    }


@contextlib.asynccontextmanager
async def process(variables: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.inference", cwd=ROOT, env=variables, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.wait()


def status(url: str) -> int | None:
    try:
        return httpx.get(url, timeout=5).status_code
    except httpx.TransportError:
        return None


def serving_versions(url: str) -> dict[str, list[int]]:
    views = httpx.get(f"{url}/v1/deployments", timeout=5).json()
    return {one["name"]: [version["version"] for version in one["serving"]] for one in views}


async def deploy(server: NatsServer, folder: Path, name: str, version: DeployedVersion) -> None:
    bus = Bus.from_settings(settings_for(server, folder), "test")
    await bus.connect()
    await Deployments(bus).put(Deployment(name=name, task="text-classification", versions=[version]))
    await bus.broker.stop()


async def test_last_known_deployments_serve_while_nats_is_away(
    platform: Any, serving: Any, deployed: Any, tmp_path: Path, eventually: Any, run_view: Any
) -> None:
    model = await platform.package(("a", "b"))
    await platform.deploy("kept", deployed(1, model))
    with contextlib.ExitStack() as stack:
        context = serving(platform.settings(tmp_path))
        url = await asyncio.to_thread(context.__enter__)
        stack.callback(context.__exit__, None, None, None)
        await eventually((tmp_path / "inference" / "deployments.json").exists, "the deployments to be kept")
        await asyncio.to_thread(stack.close)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # Neither NATS nor the store is there: the model is on this machine's disk.
    late = NatsServer(
        NatsServerConfig(port=free_port(), user="u", password="p", data_dir=tmp_path / "jetstream"), tmp_path
    )
    variables = environment(
        tmp_path, port, TIDEMILL_STORE_URL=str(tmp_path / "empty"), TIDEMILL_NATS_URL=late.config.url,
        TIDEMILL_NATS_USER="u", TIDEMILL_NATS_PASSWORD="p",
        TIDEMILL_TRUSTED_SIGNERS=str(platform.signing.trusted.folder),
    )  # fmt: skip
    async with process(variables) as gateway:
        await eventually(lambda: status(f"{url}/readyz") == 200, "the gateway to be ready")
        async with httpx.AsyncClient(base_url=url, timeout=20) as http:
            answer = await http.post("/v1/models/kept:predict", json={"instances": ["好"]})
            assert answer.json()["predictions"][0]["label"] == "a"
            assert (await http.get("/v1/runs")).status_code == 503
            published = await http.post("/v1/datasets", json={"name": "x", "uri": "s3://b/c"})
            assert published.status_code == 503
            run_id = published.json()["run_id"]
            assert "on record" in published.json()["detail"]
            assert (tmp_path / "empty/records/default/runs" / run_id / "run.json").exists()
            # NATS comes up with nothing in it: that takes no model out of service, and new ones are heard of.
            await late.start()
            client = await nats.connect(late.config.url, user="u", password="p")
            await provision(client)
            await client.close()
            await deploy(late, tmp_path, "new", platform.signed("new", deployed(7, model)))
            await eventually(lambda: serving_versions(url) == {"kept": [1], "new": [7]}, "the new model")
        gateway.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(gateway.wait(), 15) == 0
        await late.stop()


async def test_nats_may_come_back_in_another_moment(
    serving: Any, platform: Any, deployed: Any, eventually: Any, tmp_path: Path
) -> None:
    model = await platform.package(("a", "b"))
    async with running_nats(tmp_path) as server:
        trusted = platform.signing.trusted.folder
        store = str(platform.folder / "store")
        settings = platform.settings().model_copy(
            update={"platform": settings_for(server, tmp_path, store_url=store, trusted_signers=trusted)}
        )
        context = serving(settings)
        url = await asyncio.to_thread(context.__enter__)
        await deploy(server, tmp_path, "again", platform.signed("again", deployed(1, model)))
        await eventually(lambda: serving_versions(url) == {"again": [1]}, "version 1")
        await server.stop()
        assert serving_versions(url) == {"again": [1]}
        answer = await asyncio.to_thread(httpx.post, f"{url}/v1/models/again:predict", json={"instances": ["好"]})
        assert answer.status_code == 200
        await server.start()
        await deploy(server, tmp_path, "again", platform.signed("again", deployed(2, model)))
        await eventually(lambda: serving_versions(url) == {"again": [2]}, "version 2")
        await asyncio.to_thread(context.__exit__, None, None, None)


async def test_sigterm_ends_streams_and_finishes_requests(
    platform: Any, eventually: Any, tmp_path: Path, run_view: Any
) -> None:
    platform.registry.answers["tidemill.query.runs.show"] = lambda q: run_view(q["run_id"])
    port = free_port()
    config = platform.nats.config
    variables = environment(
        tmp_path, port, TIDEMILL_NATS_URL=config.url, TIDEMILL_NATS_USER=config.user,
        TIDEMILL_NATS_PASSWORD=config.password,
    )  # fmt: skip
    async with process(variables) as gateway, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        await eventually(lambda: status(f"http://127.0.0.1:{port}/readyz") == 200, "the gateway to be ready")
        async with http.stream("GET", "/v1/runs/run-1/events") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "event: run"
            gateway.send_signal(signal.SIGTERM)
            async for _ in lines:
                pass
        assert await asyncio.wait_for(gateway.wait(), 15) == 0
        assert b"Traceback" not in (await gateway.stderr.read() if gateway.stderr else b"")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TIDEMILL_INFERENCE_HOST": "0.0.0.0"}, "TIDEMILL_INFERENCE_API_KEY"),
        ({"TIDEMILL_INFERENCE_HOST": "0.0.0.0", "TIDEMILL_INFERENCE_API_KEY": ""}, "api_key is empty"),
    ],
)
def test_it_does_not_open_itself_without_a_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run() == 2
    assert said in capsys.readouterr().err


async def test_a_key_is_asked_for_everywhere_but_health(platform: Any, serving: Any) -> None:
    context = serving(platform.settings(api_key="secret-秘密"))
    url = await asyncio.to_thread(context.__enter__)
    async with httpx.AsyncClient(base_url=url) as http:
        for path in ("/v1/deployments", "/v2", "/metrics", "/docs", "/nothing"):
            refused = await http.get(path)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            for variable in ("TIDEMILL_API_KEY", "TIDEMILL_INFERENCE_API_KEY"):
                assert variable in refused.json()["detail"]
            assert (await http.get(path, headers={"Authorization": "Bearer wrong"})).status_code == 401
        key = {"Authorization": "Bearer secret-秘密".encode()}
        assert (await http.get("/v1/deployments", headers=key)).status_code == 200
        assert (await http.get("/v2/health/ready")).status_code == 200
    await asyncio.to_thread(context.__exit__, None, None, None)


def test_the_document_is_the_same_every_time() -> None:
    first, second = document(), document()
    assert first == second
    operations = [one for path in first["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)

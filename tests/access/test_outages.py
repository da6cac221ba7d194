"""NATS is away: access goes on from what was last known, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from services.inference.routes import keys
from tests.access.conftest import OPERATOR, Bench, bearer, eventually, gateway
from tests.access.test_keys import issue
from tidemill.platform.nats_server import NatsServer, NatsServerConfig, free_port
from tidemill.testing.nats import running_nats, settings_for


def away(bench: Bench, folder: Path) -> NatsServer:
    """A server that is not started."""
    return NatsServer(NatsServerConfig(port=free_port(), user="u", password="p", data_dir=folder / "js"), folder)


async def test_a_gateway_that_starts_without_nats_takes_the_last_known_keys(
    bench: Bench, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    good, revoked = [await issue(http, scopes=["predict"]) for _ in range(2)]
    assert await http.delete(f"/v1/keys/{revoked['key_id']}", headers=bearer(OPERATOR, "ours"))
    kept = tmp_path / "inference" / "access.json"
    async with gateway(bench.settings(tmp_path)):

        async def complete() -> bool:
            return kept.exists() and revoked["key_id"] in kept.read_text()

        await eventually(complete, "the keys to be kept")
    settings = bench.settings(tmp_path)
    platform = settings_for(
        away(bench, tmp_path), tmp_path, store_url=bench.platform.store_url,
        trusted_signers=settings.platform.trusted_signers,
    )  # fmt: skip
    async with gateway(settings.model_copy(update={"platform": platform})) as alone:
        path, body = "/v1/models/model-ours:predict", {"instances": ["好"]}
        assert (await alone.post(path, json=body, headers=bearer(good["key"]))).status_code == 200
        assert (await alone.post(path, json=body, headers=bearer(revoked["key"]))).status_code == 401
        answer = await alone.post("/v1/keys", json={"name": "x", "scopes": ["read"]}, headers=bearer(good["key"]))
        assert answer.status_code == 403


@pytest.mark.parametrize("kept", [None, "[{", "[{}]"], ids=["nothing", "half a file", "another file"])
async def test_a_gateway_that_never_heard_of_any_key_does_not_guess(
    bench: Bench, tmp_path: Path, kept: str | None
) -> None:
    settings = bench.settings(tmp_path)
    if kept is not None:
        (tmp_path / "inference").mkdir()
        (tmp_path / "inference" / "access.json").write_text(kept)
    platform = settings_for(away(bench, tmp_path), tmp_path, store_url=bench.platform.store_url)
    async with gateway(settings.model_copy(update={"platform": platform})) as http:
        answer = await http.get("/v1/models", headers=bearer(f"tm_{'0' * 16}_{'a' * 43}"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "has not heard yet" in answer.json()["detail"]
        issued = await http.post("/v1/keys", json={"name": "x", "scopes": ["read"]}, headers=bearer(OPERATOR))
        assert issued.status_code == 503
        assert (await http.get("/v1/keys", headers=bearer(OPERATOR))).json() == []


async def test_a_key_that_nobody_carries_out_is_pending(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry is away and NATS is not: the command waits for it."""
    monkeypatch.setattr(keys, "HEARD_WITHIN", 0.3)
    async with running_nats(tmp_path / "other") as nats:
        platform = settings_for(nats, tmp_path, store_url=bench.platform.store_url)
        settings = bench.settings(tmp_path).model_copy(update={"platform": platform})
        async with gateway(settings) as http:
            made = await http.post("/v1/keys", json={"name": "x", "scopes": ["read"]}, headers=bearer(OPERATOR))
            assert (made.status_code, made.json()["state"]) == (201, "pending")
            refused = await http.get("/v1/models", headers=bearer(made.json()["key"]))
            assert refused.status_code == 401

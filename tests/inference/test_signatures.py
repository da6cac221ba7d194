"""What a gateway loads: packages that a trusted signer signed and nobody revoked; all else is refused with words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.inference.serving.models import _RETRY_SECONDS
from tidemill.artifacts.manifest import manifest_key, object_key, read_manifest
from tidemill.bus import Deployments
from tidemill.contracts import DeployedVersion, Deployment
from tidemill.records.schema import VersionRevoked
from tidemill.signing import SigningFolder, SigningKey
from tidemill.signing.statement import version_statement


@contextlib.asynccontextmanager
async def gateway(serving: Any, settings: Any) -> AsyncIterator[str]:
    """A gateway on a thread, without holding up the event loop, on which the platform's parts live."""
    context = serving(settings)
    yield await asyncio.to_thread(context.__enter__)
    await asyncio.to_thread(context.__exit__, None, None, None)


def view(url: str, name: str) -> dict[str, Any]:
    views = httpx.get(f"{url}/v1/deployments", timeout=5).json()
    return next((one for one in views if one["name"] == name), {})


def refused(url: str, name: str, words: str) -> bool:
    return words in (view(url, name).get("error") or "")


def label(url: str, name: str) -> Any:
    answer = httpx.post(f"{url}/v1/models/{name}:predict", json={"instances": ["good"]}, timeout=10)
    return answer.json()["predictions"][0]["label"] if answer.status_code == 200 else answer.json()["detail"]


async def test_unsigned_altered_and_foreign_packages_are_refused_and_the_good_one_goes_on(
    platform: Any, serving: Any, deployed: Any, eventually: Any, tmp_path: Path
) -> None:
    good, other = await platform.package(("yes", "no")), await platform.package(("evil", "no"))
    async with gateway(serving, platform.settings(tmp_path)) as url:
        await platform.deploy("signed", deployed(1, good))
        await eventually(lambda: label(url, "signed") == "yes", "version 1")
        signed = platform.signed("signed", deployed(1, good))
        stranger = SigningKey.new().sign(version_statement("default", "signed", 2, other.digest))
        cases: list[tuple[DeployedVersion, str]] = [
            (deployed(2, other), "version 2 of model 'signed' is not signed"),
            # Another package, number or signer behind a good signature.
            (signed.model_copy(update={"model": other}), "does not have the package that was signed"),
            (signed.model_copy(update={"version": 2}), "does not have the package that was signed"),
            (deployed(2, other).model_copy(update={"signature": stranger}), "which is not trusted here"),
        ]
        for version, words in cases:
            await platform.deploy("signed", version, signed=False)
            await eventually(lambda words=words: refused(url, "signed", words), words)
            assert label(url, "signed") == "yes"
            assert [one["version"] for one in view(url, "signed")["serving"]] == [1]
        await platform.deploy("signed", deployed(3, other))
        await eventually(lambda: label(url, "signed") == "evil", "version 3, which is signed")


async def test_a_signature_of_another_project_or_name_does_not_count(
    platform: Any, serving: Any, deployed: Any, eventually: Any, tmp_path: Path
) -> None:
    model = await platform.package(("a", "b"))
    async with gateway(serving, platform.settings(tmp_path)) as url:
        await platform.deploy("mine", platform.signed("yours", deployed(1, model)), signed=False)
        await eventually(lambda: refused(url, "mine", "does not have the package"), "the refusal")
        assert "could not be loaded: version 1 of model 'mine'" in label(url, "mine")


async def test_bytes_altered_in_the_bucket_behind_a_good_signature_are_not_loaded(
    platform: Any, serving: Any, deployed: Any, eventually: Any, tmp_path: Path
) -> None:
    model = await platform.package(("c", "d"))
    objects = platform.store.objects
    manifest = read_manifest(await objects.read(manifest_key(model)), model.digest.removeprefix("sha256:"))
    entry = next(one for one in manifest.files if one.path.endswith("model.onnx"))
    key = object_key(entry.shards[0].sha256)
    graph = await objects.read(key)
    await objects.write(key, iter([graph[:-1] + bytes([graph[-1] ^ 1])]))
    settings = platform.settings(tmp_path)
    async with gateway(serving, settings) as url:
        await platform.deploy("altered", deployed(1, model))
        await eventually(lambda: refused(url, "altered", "sha256"), "the refusal")
        assert view(url, "altered")["serving"] == []
    await objects.write(key, iter([graph]))


async def test_a_key_that_is_trusted_later_lets_its_models_in_without_a_restart(
    platform: Any, serving: Any, deployed: Any, eventually: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.inference.serving.models._RETRY_SECONDS", (0.1,) * len(_RETRY_SECONDS))
    model = await platform.package(("e", "f"))
    own = SigningFolder.below(tmp_path)
    own.make()
    settings = platform.settings(tmp_path / "gateway")
    settings = settings.model_copy(
        update={"platform": settings.platform.model_copy(update={"trusted_signers": own.trusted.folder})}
    )
    async with gateway(serving, settings) as url:
        await platform.deploy("later", deployed(1, model))
        await eventually(lambda: refused(url, "later", "which is not trusted here"), "the refusal")
        own.trusted.add(SigningKey.read(platform.signing.key_file).public)
        await eventually(lambda: label(url, "later") == "e", "the model")


async def test_a_revoked_version_is_refused_by_name_even_when_the_bus_still_wants_it(
    platform: Any, serving: Any, deployed: Any, eventually: Any, tmp_path: Path
) -> None:
    good, bad = await platform.package(("g", "h")), await platform.package(("i", "j"))
    revoked = VersionRevoked(name="revoked", version=2, reason="教错了")
    await platform.store.records().append_decision("default", lambda _: revoked)
    async with gateway(serving, platform.settings(tmp_path)) as url:
        await platform.deploy("revoked", deployed(1, good))
        await eventually(lambda: label(url, "revoked") == "g", "version 1")
        await platform.deploy("revoked", deployed(2, bad))
        await eventually(lambda: refused(url, "revoked", "version 2 of model 'revoked' was revoked: 教错了"), "words")
        assert label(url, "revoked") == "g"


async def test_a_removed_deployment_goes_out_of_service_at_once(
    platform: Any, serving: Any, deployed: Any, eventually: Any, tmp_path: Path
) -> None:
    model = await platform.package(("k", "l"))
    async with gateway(serving, platform.settings(tmp_path)) as url:
        await platform.deploy("gone", deployed(1, model))
        await eventually(lambda: label(url, "gone") == "k", "version 1")
        await Deployments(platform.bus).remove("default", "gone")
        await eventually(lambda: "no model 'gone' is deployed" in str(label(url, "gone")), "its end")


def test_a_deployment_carries_its_signature_over_the_bus() -> None:
    signature = SigningKey.new().sign(b"x")
    model = {"digest": f"sha256:{'a' * 64}", "kind": "model", "size_bytes": 1}
    version = DeployedVersion.model_validate({"version": 1, "model": model, "run_id": "r", "signature": signature})
    deployment = Deployment(name="m", task="t", versions=[version])
    assert Deployment.model_validate_json(deployment.model_dump_json()) == deployment

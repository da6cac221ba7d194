"""A registry that is killed in the middle of an erasure: the next one goes on, and everything is done once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.erasure.conftest import Platform, eventually, platform_at, running, sentences, where
from tidemill.platform.nats_server import NatsServer

MAIL = "an@x-mail.org"


def rows() -> bytes:
    lines = [
        f'"{text}{f" {MAIL}" if number % 10 == 3 else ""}",{label}' for number, (text, label) in enumerate(sentences())
    ]
    return "\n".join(["text,label", *lines, ""]).encode()


def registry(platform: Platform) -> subprocess.Popen[bytes]:
    """A registry in a process of its own."""
    settings = platform.settings
    assert settings.nats_user is not None
    assert settings.nats_password is not None
    environment = os.environ | {
        "TIDEMILL_NATS_URL": settings.nats_url, "TIDEMILL_NATS_USER": settings.nats_user,
        "TIDEMILL_NATS_PASSWORD": settings.nats_password.get_secret_value(), "TIDEMILL_STORE_URL": settings.store_url,
        "TIDEMILL_DATA_DIR": str(settings.data_dir), "TIDEMILL_ACK_WAIT": "PT2S",
        "TIDEMILL_REGISTRY_RECONCILE_EVERY": "PT0.2S",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "services.registry"], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("moment", [pytest.param("searched", marks=pytest.mark.full), "artifacts/erased"])
async def test_it_goes_on_where_it_was(moment: str, nats_server: NatsServer, tmp_path: Path) -> None:
    name = f"killed-{moment.rpartition('/')[2]}"
    async with platform_at(nats_server, tmp_path) as platform, running(platform.settings, "ingest", "preprocess"):
        first = registry(platform)
        try:
            run_id = await platform.prepared(name, {f"{name}.csv": rows()})
            request = await platform.ask(MAIL)

            async def reached() -> bool:
                return any(moment in str(path) for path in (tmp_path / "store").rglob("*.json"))

            async with asyncio.timeout(60):
                while not await reached():
                    await asyncio.sleep(0.001)
            first.send_signal(signal.SIGKILL)
            first.wait(10)
            assert await platform.records.erasure("default", request.id) is None
            assert where(tmp_path / "store" / "erasures", MAIL)  # it waits
            second = registry(platform)
        finally:
            first.kill()
            first.wait(10)
        try:
            report = await platform.report(request.id)
            await platform.rewritten(report)
            assert [(one.name, one.erased, one.left) for one in report.datasets] == [(name, 6, 54)]
            assert report.runs_deleted == [run_id]
            assert {one.fate for one in report.artifacts} == {"removed"}
            assert {"source", "dataset"} <= {one.kind for one in report.artifacts}
            versions = await platform.records.dataset_versions("default", name)
            assert [one.erasure for one in versions] == [None, request.id]
            assert where(tmp_path, MAIL) == []
        finally:
            second.terminate()
            await eventually(_ended(second))


def _ended(process: subprocess.Popen[bytes]):  # type: ignore[no-untyped-def]
    async def ended() -> bool:
        return process.poll() is not None

    return ended

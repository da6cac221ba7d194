"""Model directories on the disk: what is wanted again is not swept away; what a killed gateway left is removed."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.inference.leftovers import PARTIAL, UPLOAD, leftovers, own_prefix
from services.inference.serving.loading import VersionLoader
from services.inference.serving.models import ServedModels
from services.inference.serving.permission import LoadingPermission
from tidemill.contracts import Deployment


def directory(folder: Path, digest: str) -> Path:
    return folder / digest.removeprefix("sha256:")


def loader_of(platform: Any, folder: Path) -> VersionLoader:
    permission = LoadingPermission(platform.signing.trusted, platform.store.records())
    return VersionLoader(platform.store, folder, permission, parallel=1)


async def test_a_sweep_asks_again_when_nobody_can_be_loading(platform: Any, deployed: Any, tmp_path: Path) -> None:
    loader = loader_of(platform, tmp_path)
    kept, unused = [await platform.package(("a", f"b{i}")) for i in range(2)]
    for model in (kept, unused):
        version = platform.signed("m", deployed(1, model))
        await loader.load(Deployment(name="m", task="text-classification", versions=[version]), version)
    wanted: set[str] = set()
    async with loader._bringing[kept.digest]:  # a load that is in progress
        sweep = asyncio.create_task(loader.sweep(lambda digest: digest not in wanted))
        async with asyncio.timeout(5):
            while not loader._bringing[kept.digest]._waiters:  # type: ignore[attr-defined]
                await asyncio.sleep(0.001)
        wanted.add(kept.digest)
    await sweep
    assert directory(tmp_path, kept.digest).is_dir()
    assert not directory(tmp_path, unused.digest).exists()


async def test_a_rollback_during_a_sweep_keeps_the_files(
    platform: Any, deployed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = [await platform.package(("c", f"d{i}")) for i in range(2)]
    nothing: Any = lambda *_: None  # noqa: E731
    loader = loader_of(platform, tmp_path)
    models = ServedModels(loader, loaded=nothing, failed=nothing, swapped=nothing)

    async def deploy(number: int, model: Any) -> None:
        version = platform.signed("m", deployed(number, model))
        models.apply(Deployment(name="m", task="text-classification", versions=[version]))
        async with asyncio.timeout(10):
            await models.settled()

    removing, go = threading.Event(), threading.Event()
    rmtree = shutil.rmtree

    def slow(path: Path, **options: Any) -> None:
        if Path(path).parent == tmp_path and not Path(path).name.startswith(PARTIAL):
            removing.set()
            assert go.wait(10)
        rmtree(path, **options)

    monkeypatch.setattr("services.inference.serving.loading.shutil.rmtree", slow)
    await deploy(1, first)
    await deploy(2, second)
    assert await asyncio.to_thread(removing.wait, 10)  # the first model's files are being removed
    rollback = asyncio.create_task(deploy(3, first))
    async with asyncio.timeout(10):
        while not rollback.done() and not loader._bringing[first.digest]._waiters:  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)
    go.set()
    await rollback
    assert models.choose("default", "m").number == 3
    assert (directory(tmp_path, first.digest) / "signature.json").is_file()
    await models.close()
    assert directory(tmp_path, first.digest).is_dir()


async def test_a_start_removes_what_a_killed_gateway_left(
    platform: Any, serving: Any, eventually: Any, tmp_path: Path
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    models, scratch = tmp_path / "inference" / "models", tmp_path / "scratch" / "inference"
    left = [models / f"{PARTIAL}{gone.pid}-ab", models / f"{PARTIAL}ab", scratch / f"{UPLOAD}{gone.pid}-c"]
    others = [models / f"{PARTIAL}{os.getppid()}-ab", models / ("a" * 64), scratch / f"{UPLOAD}{os.getppid()}-c"]
    for folder in (*left, *others):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    context = serving(platform.settings(tmp_path))
    url = await asyncio.to_thread(context.__enter__)
    await eventually(lambda: not any(folder.exists() for folder in left), "the leftovers to be removed")
    async with httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/healthz")).status_code == 200
    await asyncio.to_thread(context.__exit__, None, None, None)
    assert all(folder.is_dir() for folder in others)


def test_a_folder_with_this_process_s_id_from_before_it_is_left_over(tmp_path: Path) -> None:
    assert leftovers(tmp_path / "nothing", UPLOAD) == []
    (tmp_path / f"{own_prefix(UPLOAD)}x").mkdir()
    (tmp_path / f"{own_prefix(UPLOAD)}file").write_text("not a folder")
    assert leftovers(tmp_path, UPLOAD) == [tmp_path / f"{own_prefix(UPLOAD)}x"]

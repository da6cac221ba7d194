"""A small platform in this process: NATS, store, registry, ingest and preprocess, each as it is in production."""

from __future__ import annotations

import asyncio
import bz2
import contextlib
import gzip
import io
import json
import lzma
import secrets
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio

from services.ingest.app import create_app as create_ingest
from services.ingest.settings import IngestSettings
from services.preprocess.app import create_app as create_preprocess
from services.preprocess.settings import PreprocessSettings
from services.registry.app import create_app as create_registry
from services.registry.settings import RegistrySettings
from tidemill.artifacts import ObjectArtifactStore, open_store
from tidemill.bus import Bus
from tidemill.contracts import ArtifactKind, ArtifactRef, DatasetPublished, EraseSubject
from tidemill.contracts.erasures import ErasureReport
from tidemill.erasure.requests import ErasureRequest, PendingErasures
from tidemill.platform.nats_server import NatsServer
from tidemill.records import RecordStore
from tidemill.records.schema import OutcomeRecord, RunRecord
from tidemill.settings import PlatformSettings
from tidemill.testing.nats import settings_for
from tidemill.testing.s3 import bucket, s3, s3_endpoint  # noqa: F401

WORDS = (
    "kettle", "parcel", "blue", "broken", "late", "friendly", "shop", "window", "garden", "chair", "lamp", "paper",
    "river", "stone", "music", "bread",
)  # fmt: skip
PREPARED: dict[str, Any] = {"until": "prepared", "data": {"near_duplicates": None}}


def sentences(count: int = 60) -> Iterator[tuple[str, str]]:
    """Texts with labels, all different."""
    for number in range(count):
        words = [WORDS[(number * 7 + place * place) % len(WORDS)] for place in range(6)]
        yield f"{' '.join(words)} number {number}", ("good", "bad")[number % 2]


@dataclass
class Platform:
    """What the tests work with."""

    settings: PlatformSettings
    bus: Bus
    store: ObjectArtifactStore
    records: RecordStore
    folder: Path
    streams: Path
    """Where NATS keeps what it carried."""

    async def put(self, files: dict[str, bytes]) -> ArtifactRef:
        """Files as somebody uploads them."""
        return await self.put_as("source", files)

    async def put_as(self, kind: ArtifactKind, files: dict[str, bytes]) -> ArtifactRef:
        """Files as an artifact of a kind; nothing of them is left outside the store."""
        folder = self.folder / "uploads" / secrets.token_hex(4)
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        try:
            return await self.store.put(folder, kind=kind)
        finally:
            for path in sorted(folder.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()

    async def publish(
        self, name: str, files: dict[str, bytes], recipe: dict[str, Any] | None = None, **more: Any
    ) -> str:
        """Begin a run of an upload."""
        source = await self.put(files)
        run_id = f"run-{secrets.token_hex(4)}"
        event = DatasetPublished(
            run_id=run_id, name=name, source=source, recipe=PREPARED if recipe is None else recipe, **more
        )
        await self.records.create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
        await self.bus.announce(event, fingerprint="published")
        return run_id

    async def ended(self, run_id: str, seconds: float = 90) -> OutcomeRecord:
        """How a run ended."""

        async def outcome() -> OutcomeRecord | None:
            outcomes = await self.records.outcomes("default", run_id)
            return outcomes[-1] if outcomes else None

        return await eventually(outcome, seconds)

    async def prepared(self, name: str, files: dict[str, bytes], recipe: dict[str, Any] | None = None) -> str:
        """A run of an upload, finished."""
        run_id = await self.publish(name, files, recipe)
        outcome = await self.ended(run_id)
        assert outcome.state == "finished", outcome
        return run_id

    async def ask(self, subject: str, **more: Any) -> ErasureRequest:
        """Ask for an erasure, as the gateway does."""
        asked = {"id": secrets.token_hex(8), "project": "default", "subject": subject, "asked_at": datetime.now(UTC)}
        request = ErasureRequest.model_validate(asked | more)
        await PendingErasures(self.store.objects).ask(request)
        await self.bus.command(EraseSubject(project=request.project, erasure=request.id))
        return request

    async def erase(self, subject: str, **more: Any) -> ErasureReport:
        """Ask for an erasure and wait for its report."""
        request = await self.ask(subject, **more)
        return await self.report(request.id)

    async def report(self, erasure: str, seconds: float = 90) -> ErasureReport:
        """What an erasure did."""
        report = await eventually(lambda: self.records.erasure("default", erasure), seconds)

        async def gone() -> bool:
            return await PendingErasures(self.store.objects).request("default", erasure) is None

        await eventually(gone)
        return report

    async def rewritten(self, report: ErasureReport) -> None:
        """Wait for the runs that make the versions without the person's rows."""
        for dataset in report.datasets:
            if dataset.run_id is not None:
                outcome = await self.ended(dataset.run_id)
                assert outcome.state == "finished", outcome


async def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true value of ``condition``."""
    async with asyncio.timeout(seconds):
        while not (value := await condition()):
            await asyncio.sleep(0.05)
        return value


@asynccontextmanager
async def running(settings: PlatformSettings, *services: str) -> AsyncIterator[None]:
    """The services of a platform, started and stopped."""
    apps = {
        "registry": lambda: create_registry(
            RegistrySettings(
                platform=settings, reconcile_every=timedelta(seconds=0.3), reconcile_after=timedelta(seconds=3)
            )
        ),
        "ingest": lambda: create_ingest(IngestSettings(platform=settings)),
        "preprocess": lambda: create_preprocess(PreprocessSettings(platform=settings)),
    }
    started = [apps[name]() for name in services or apps]
    for app in started:
        await app.start()
    try:
        yield
    finally:
        for app in reversed(started):
            await app.stop()


@asynccontextmanager
async def platform_at(server: NatsServer, folder: Path, **changes: Any) -> AsyncIterator[Platform]:
    """A platform without services."""
    settings = settings_for(server, folder, **{"ack_wait": timedelta(seconds=2)} | changes)
    store = open_store(settings.store_url, cache=folder / "cache")
    bus = Bus.from_settings(settings, "test")
    await bus.connect()
    yield Platform(settings, bus, store, store.records(), folder, server.config.data_dir)
    await bus.broker.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """A platform with all its services."""
    async with platform_at(nats_server, tmp_path_factory.mktemp("platform")) as one, running(one.settings):
        yield one


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, and what is packed in it: the texts of Parquet, the files of archives."""
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and not path.is_symlink():
                yield from unpacked(str(path.relative_to(folder)), path.read_bytes())


def unpacked(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Some bytes, and what is packed in them."""
    yield name, data
    if data[:4] == b"PAR1":
        with pa.BufferReader(data) as file:
            rows = pq.read_table(file).to_pylist()
        yield f"{name}!", json.dumps(rows, ensure_ascii=False, default=str).encode()
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield from unpacked(f"{name}!{member}", archive.read(member))
    for magic, opened in ((b"\x1f\x8b", gzip.decompress), (b"BZh", bz2.decompress), (b"\xfd7zXZ", lzma.decompress)):
        if data.startswith(magic):
            yield from unpacked(f"{name}!", opened(data))
    if data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive.getmembers():
                if (content := archive.extractfile(member)) is not None:
                    yield from unpacked(f"{name}!{member.name}", content.read())


def where(folder: Path, *values: str) -> list[str]:
    """Files below a folder that hold one of the values, as text or as JSON writes it, whatever they are packed in."""
    wanted = [form for value in values for form in (value.encode(), json.dumps(value)[1:-1].encode())]
    return [name for name, data in everything(folder) if any(one in data or one in name.encode() for one in wanted)]

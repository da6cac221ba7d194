"""A real NATS server, store and registry with two projects on record, and gateways before them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.inference.settings import InferenceSettings
from services.registry.app import create_app
from services.registry.settings import RegistrySettings
from tests.inference.conftest import serving, write_package
from tests.registry.conftest import stage_events
from tidemill.artifacts import ObjectArtifactStore, open_store
from tidemill.bus import Bus
from tidemill.contracts import ArtifactRef, DatasetPrepared, DatasetPublished, ModelCompressed, StageEvent, parse_recipe
from tidemill.contracts.queries import ListModels
from tidemill.platform.nats_server import NatsServer, free_port
from tidemill.records import RecordStore
from tidemill.records.schema import (
    AliasMoved,
    DatasetVersionRecord,
    DeadLetterRecord,
    OutcomeRecord,
    RunRecord,
    StageRecord,
    VersionRegistered,
)
from tidemill.settings import PlatformSettings
from tidemill.signing import SigningFolder, SigningKey
from tidemill.signing.statement import version_statement
from tidemill.testing.nats import settings_for

OPERATOR = "operator-key-of-the-tests-运营"


@dataclass(frozen=True)
class Things:
    """What a project has on record."""

    project: str
    run_id: str
    dataset: str
    model: str
    letter: str


@dataclass
class Bench:
    """What is around the gateways."""

    folder: Path
    nats: NatsServer
    platform: PlatformSettings
    bus: Bus
    store: ObjectArtifactStore
    records: RecordStore
    mine: Things
    theirs: Things

    def settings(self, folder: Path | None = None, **changes: Any) -> InferenceSettings:
        platform = settings_for(
            self.nats, folder or self.folder / "gateway", store_url=self.platform.store_url,
            trusted_signers=SigningFolder.below(self.folder).trusted.folder,
        )  # fmt: skip
        return InferenceSettings.model_validate(
            {"platform": platform, "port": free_port(), "threads": 1, "api_key": OPERATOR} | changes
        )


def bearer(key: str, project: str | None = None) -> dict[str, bytes | str]:
    headers: dict[str, bytes | str] = {"Authorization": f"Bearer {key}".encode()}
    return headers | ({"Tidemill-Project": project} if project is not None else {})


@contextlib.asynccontextmanager
async def gateway(settings: InferenceSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway on a thread of its own, and a client that sends nothing of its own accord."""
    context = serving(settings)
    url = await asyncio.to_thread(context.__enter__)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=20) as http:
            yield http
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


async def eventually(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 20) -> Any:
    """The first true value of ``condition``."""
    try:
        async with asyncio.timeout(seconds):
            while not (value := await condition()):
                await asyncio.sleep(0.02)
            return value
    except TimeoutError:
        raise AssertionError(f"waited {seconds} s for {what}") from None


async def furnish(
    store: ObjectArtifactStore, records: RecordStore, folder: Path, project: str, signer: SigningKey
) -> Things:
    """A project with a run that has ended, its dataset, its model and a dead letter on record."""
    things = Things(project, f"run-of-{project}", f"data-{project}", f"model-{project}", f"{ord(project[0]):016x}")
    run_id, now = things.run_id, datetime.now(UTC)
    for event in await _events(store, folder, things):
        await on_record(records, project, event)
    source = ArtifactRef(digest="sha256:" + "1" * 64, kind="source", size_bytes=1)
    await records.create_dataset_version(
        project, DatasetVersionRecord(name=things.dataset, version=1, run_id=run_id, source=source, at=now)
    )
    await records.letters.keep(
        project,
        DeadLetterRecord(
            id=things.letter, subject="tidemill.dataset.published.v1", stage="ingest", error="of " + project,
            kind="permanent", at=now, body=b"{}",
        ),
    )  # fmt: skip
    compressed = event
    assert isinstance(compressed, ModelCompressed)
    decisions = (
        VersionRegistered(
            name=things.model,
            version=1,
            run_id=run_id,
            event=compressed,
            signature=signer.sign(version_statement(project, things.model, 1, compressed.model.digest)),
        ),
        AliasMoved(name=things.model, alias="champion", version=1, previous=None, reason="first", run_id=run_id),
    )
    for decision in decisions:
        await records.append_decision(project, lambda _, said=decision: said)  # type: ignore[misc]
    outcome = OutcomeRecord(
        epoch=1, state="finished", ended_at=now + timedelta(seconds=1), name=things.model, version=1, promoted=True
    )
    await records.create_outcome(project, run_id, outcome)
    return things


async def on_record(records: RecordStore, project: str, event: StageEvent) -> None:
    """The run of ``event``, and its stage."""
    now = datetime.now(UTC)
    published = DatasetPublished(project=project, run_id=event.run_id, name=event.name, uri="https://example.org/d.csv")
    await records.create_run(RunRecord(event=published, created_at=now))
    stage: Any = {
        "tidemill.dataset.ingested.v1": "ingest",
        "tidemill.dataset.prepared.v1": "preprocess",
        "tidemill.model.trained.v1": "train",
    }.get(event.subject, "compress")
    record = StageRecord(
        stage=stage, subject=event.subject, event=event.model_dump(mode="json"), fingerprint=f"{project}{stage}",
        started_at=now, finished_at=now, cached=False, jobs=1,
    )  # fmt: skip
    await records.create_stage(project, event.run_id, record)


async def _events(store: ObjectArtifactStore, folder: Path, things: Things) -> list[StageEvent]:
    async def kept(kind: Any, **files: str) -> ArtifactRef:
        directory = folder / things.project / f"{kind}-{len(files)}-{next(iter(files))}"
        directory.mkdir(parents=True)
        for name, text in files.items():
            (directory / name.replace("_", ".")).write_text(text)
        return await store.put(directory, kind=kind)

    recipe = await kept("recipe", recipe_json=parse_recipe({}).model_dump_json())
    dataset = await kept("dataset", rows_txt=f"rows of {things.project}")
    report = await kept("report", report_html=f"<p>of {things.project}</p>", report_json="{}")
    package = await asyncio.to_thread(write_package, folder / things.project / "package")
    model = await store.put(package, kind="model")
    events = []
    for _, event in stage_events(things.run_id, things.dataset, recipe, 0.9, things.project):
        changes: dict[str, Any] = {"project": things.project}
        if isinstance(event, DatasetPrepared):
            changes |= {"dataset": dataset, "report": report}
        if isinstance(event, ModelCompressed):
            changes |= {"model": model, "name": things.model}
        events.append(event.model_copy(update=changes))
    return events


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("access")
    platform = settings_for(nats_server, folder, ack_wait=timedelta(seconds=2))
    store = open_store(platform.store_url, cache=folder / "cache")
    records = store.records()
    signer = SigningKey.read(SigningFolder.below(folder).key_file)
    mine = await furnish(store, records, folder / "made", "ours", signer)
    theirs = await furnish(store, records, folder / "made", "theirs", signer)
    bus = Bus.from_settings(platform, "test")
    await bus.connect()
    registry = create_app(
        RegistrySettings.model_validate({"platform": platform, "reconcile_every": timedelta(seconds=0.2)})
    )
    await registry.start()

    async def listed() -> bool:
        models = [await bus.ask(ListModels(project=things.project)) for things in (mine, theirs)]
        return all(models)

    await eventually(listed, "the registry to have read the records")
    yield Bench(folder, nats_server, platform, bus, store, records, mine, theirs)
    await registry.stop()
    await bus.broker.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway that everybody needs a key for, with both projects' models in service."""
    async with gateway(bench.settings()) as client:
        for things in (bench.mine, bench.theirs):
            path, headers = f"/v2/models/{things.model}/ready", bearer(OPERATOR, things.project)

            async def serves(path: str = path, headers: Any = headers) -> bool:
                return (await client.get(path, headers=headers)).is_success

            await eventually(serves, "both models to serve")
        yield client

"""A running registry on a real server, store and database, and the work of the other stages written on record.

Every test runs twice: on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from services.registry.access import Access
from services.registry.app import create_app
from services.registry.commands import Commands
from services.registry.database import Database
from services.registry.dead_letters import DeadLetters
from services.registry.projection import Projection
from services.registry.registration import Registrar
from services.registry.serving import Serving
from services.registry.settings import RegistrySettings
from services.registry.signing import Signer
from tests.registry.databases import Databases, Kind
from tidemill.artifacts import ArtifactStore, open_store
from tidemill.bus import Bus, Deployments, RunStates
from tidemill.contracts import (
    ArtifactRef,
    DatasetIngested,
    DatasetPrepared,
    DatasetPublished,
    EvaluationSummary,
    ModelCompressed,
    ModelTrained,
    Recipe,
    ResourceUsage,
    RunFinished,
    StageEvent,
    StageName,
    VariantFigures,
    parse_recipe,
)
from tidemill.platform.nats_server import NatsServer
from tidemill.records import RecordStore
from tidemill.records.schema import RunRecord, StageRecord
from tidemill.settings import PlatformSettings
from tidemill.signing import SigningFolder
from tidemill.stage.runs import Runs
from tidemill.testing.events import EventLog, event_log
from tidemill.testing.nats import running_nats, settings_for
from tidemill.testing.otlp import collector  # noqa: F401
from tidemill.testing.postgresql import PostgresServer

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
numbers = itertools.count(1)


def artifact(kind: Any, name: str) -> ArtifactRef:
    """A reference as if ``name`` were its bytes."""
    return ArtifactRef(digest=f"sha256:{hashlib.sha256(name.encode()).hexdigest()}", kind=kind, size_bytes=len(name))


@asynccontextmanager
async def registry(bench: Bench, **changes: Any) -> AsyncIterator[None]:
    """The registry's application on ``bench``, started and stopped."""
    async with registry_at(bench.platform, **{"database_url": SecretStr(bench.databases.url())} | changes):
        yield


@asynccontextmanager
async def registry_at(platform: PlatformSettings, **changes: Any) -> AsyncIterator[None]:
    """A registry of a platform with a database of its own, started and stopped."""
    SigningFolder.below(platform.data_dir).make()
    app = create_app(RegistrySettings.model_validate({"platform": platform, "max_attempts": 2} | changes))
    await app.start()
    try:
        yield
    finally:
        await app.stop()


@dataclass
class Bench:
    """What is around a registry, and the stages before it, played."""

    platform: PlatformSettings
    bus: Bus
    log: EventLog
    store: ArtifactStore
    records: RecordStore
    folder: Path
    databases: Databases

    @property
    def states(self) -> RunStates:
        return RunStates(self.bus)

    @property
    def deployments(self) -> Deployments:
        return Deployments(self.bus)

    async def recipe(self, document: dict[str, Any] | None) -> ArtifactRef:
        recipe: Recipe = parse_recipe(document)
        folder = self.folder / f"recipe-{next(numbers)}"
        folder.mkdir()
        (folder / "recipe.json").write_text(json.dumps(recipe.model_dump(mode="json")))
        return await self.store.put(folder, kind="recipe")

    async def publish(self, name: str, *, announce: bool = True, **changes: Any) -> str:
        """A run on record, as the gateway or the CLI begins it."""
        run_id = f"run-{next(numbers)}"
        event = DatasetPublished.model_validate({"run_id": run_id, "name": name, "uri": "file:///data.csv"} | changes)
        await self.records.create_run(RunRecord(event=event, created_at=datetime.now(UTC), traceparent=TRACE))
        if announce:
            await self.bus.announce(event, fingerprint="published")
        return run_id

    async def work(
        self,
        run_id: str,
        name: str,
        *,
        until: StageName = "compress",
        macro_f1: float = 0.9,
        model: str = "",
        recipe: dict[str, Any] | ArtifactRef | None = None,
        announce: bool = True,
    ) -> StageEvent:
        """Put the stages up to ``until`` on record as the stage machinery does, and announce each."""
        frozen = recipe if isinstance(recipe, ArtifactRef) else await self.recipe(recipe)
        runs = Runs(self.bus, self.records)
        for stage, event in stage_events(run_id, name, frozen, macro_f1, model or run_id):
            if stage not in (await runs.status("default", run_id)).reached:
                assert await runs.reach("default", run_id, stage)
                now = datetime.now(UTC)
                record = StageRecord(
                    stage=stage, subject=event.subject, event=event.model_dump(mode="json"), fingerprint=stage * 4,
                    started_at=now - timedelta(seconds=2), finished_at=now, cached=False, jobs=1,
                )  # fmt: skip
                await self.records.create_stage("default", run_id, record)
                if announce:
                    await self.bus.announce(event, fingerprint=record.fingerprint)
            if stage == until:
                return event
        raise AssertionError(until)

    async def finished(self, name: str, *, model: str = "", promote: bool | None = None, **work: Any) -> RunFinished:
        """A whole run."""
        run_id = await self.publish(name, promote=promote)
        await self.work(run_id, name, model=model, **work)
        return await self.log.wait_for(RunFinished, run_id)


def stage_events(
    run_id: str, name: str, recipe: ArtifactRef, macro_f1: float, model: str
) -> list[tuple[StageName, StageEvent]]:
    metrics = {"accuracy": macro_f1, "macro_f1": macro_f1}
    figures = VariantFigures(
        variant="onnx-int8", size_bytes=10, p50_ms=1.0, p95_ms=2.0, throughput=100.0, threads=1, metrics=metrics
    )
    shared: dict[str, Any] = {
        "run_id": run_id, "name": name, "recipe": recipe, "usage": ResourceUsage(cpu_seconds=1.5, attempts=1),
    }  # fmt: skip
    evaluation = EvaluationSummary(part="test", examples=20, metrics=metrics)
    source, ingested, prepared = (artifact(kind, f"{kind}-{name}") for kind in ("source", "dataset", "dataset"))
    prepared = artifact("dataset", f"prepared-{name}")
    task = "text-classification"
    return [
        ("ingest", DatasetIngested(
            source=source, dataset=ingested, task=task, rows=100, parts={"data": 100}, **shared)),
        ("preprocess", DatasetPrepared(
            ingested=ingested, dataset=prepared, task=task, parts={"train": 70, "test": 20}, labels=["好", "坏"],
            **shared)),
        ("train", ModelTrained(
            dataset=prepared, model=artifact("model", f"trained-{model}"), task=task, evaluation=evaluation,
            validation=evaluation, **shared)),
        ("compress", ModelCompressed(
            dataset=prepared, trained=artifact("model", f"trained-{model}"), model=artifact("model", model),
            task=task, evaluation=evaluation, original=figures, compressed=figures, variants=[figures], **shared)),
    ]  # fmt: skip


async def eventually(condition: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    """The first true value of ``condition``."""
    async with asyncio.timeout(seconds):
        while not (value := await condition()):
            await asyncio.sleep(0.02)
        return value


@dataclass
class Parts:
    """The registry's parts that carry things out, without its consumers: a test is the one who delivers."""

    commands: Commands
    registrar: Registrar
    projection: Projection
    database: Database


@asynccontextmanager
async def parts(bench: Bench) -> AsyncIterator[Parts]:
    """The parts on ``bench``, with a database of their own."""
    database = bench.databases.open(f"parts_{next(numbers)}")
    await database.prepare()
    runs, projection = Runs(bench.bus, bench.records), Projection(bench.records, database)
    serving = Serving(bench.bus, bench.records)
    signer = Signer(SigningFolder.below(bench.platform.data_dir))
    registrar = Registrar(
        bus=bench.bus, records=bench.records, store=bench.store, runs=runs, projection=projection, serving=serving,
        signer=signer, max_attempts=2,
    )  # fmt: skip
    commands = Commands(
        bus=bench.bus, records=bench.records, runs=runs, registrar=registrar, projection=projection, serving=serving,
        dead_letters=DeadLetters(bench.bus, bench.records), signer=signer,
        access=Access(bench.bus, bench.records),
    )  # fmt: skip
    yield Parts(commands, registrar, projection, database)
    await database.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """The kind of database that the registry is on."""
    found: Kind = request.param
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nats_server(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    """A real server for each kind; silent workers lose their messages after two seconds."""
    async with running_nats(tmp_path_factory.mktemp("nats"), ack_wait=timedelta(seconds=2)) as server:
        yield server


@pytest.fixture(scope="module")
def postgres(kind: Kind, request: pytest.FixtureRequest) -> PostgresServer | None:
    """The server where this kind needs one."""
    server: PostgresServer | None = request.getfixturevalue("postgres_server") if kind == "postgresql" else None
    return server


@pytest.fixture
def databases(kind: Kind, postgres: PostgresServer | None, tmp_path: Path) -> Databases:
    """Databases of the test's own."""
    return Databases(kind, tmp_path, postgres)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def quiet_bench(
    kind: Kind, postgres: PostgresServer | None, nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bench]:
    """Everything but the registry."""
    folder = tmp_path_factory.mktemp("registry")
    platform = settings_for(nats_server, folder, ack_wait=timedelta(seconds=2))
    store = open_store(platform.store_url, cache=folder / "cache")
    bus = Bus.from_settings(platform, "test")
    await bus.connect()
    async with event_log(bus) as log:
        yield Bench(platform, bus, log, store, store.records(), folder, Databases(kind, folder, postgres))
    await bus.broker.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(quiet_bench: Bench) -> AsyncIterator[Bench]:
    """A running registry."""
    async with registry(quiet_bench):
        yield quiet_bench

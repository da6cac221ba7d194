"""A stage whose function returns at once, a runner that calls it in the service, and one timed run through it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from tidemill.artifacts import open_store
from tidemill.bus import Bus, RunStates, RunStatus
from tidemill.contracts import ArtifactRef, DatasetIngested, DatasetPrepared, Frozen, Recipe, ResourceUsage
from tidemill.jobs import JobOutcome
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.records import open_records
from tidemill.stage import Job, JobResult, Stage
from tidemill.testing.events import put_on_record

NOWHERE = ArtifactRef(digest="sha256:" + "0" * 64, kind="dataset", size_bytes=0)
_recipes: dict[str, ArtifactRef] = {}


class IdleSpec(Frozen):
    """Nothing but what makes one run's job another than the next one's."""

    name: str


class IdleResult(Frozen):
    """Nothing."""


def plan(event: DatasetIngested, recipe: Recipe) -> Sequence[Job[IdleSpec]]:
    return [Job(IdleSpec(name=event.name))]


def work(spec: IdleSpec, inputs: Inputs, output: Path, report: ProgressReport) -> IdleResult:
    return IdleResult()


def join(event: DatasetIngested, recipe: Recipe, results: Sequence[JobResult[IdleResult]]) -> DatasetPrepared:
    return DatasetPrepared(
        project=event.project, run_id=event.run_id, name=event.name, recipe=event.recipe, ingested=event.dataset,
        dataset=event.dataset, task=event.task, parts={"train": 1}, labels=[],
    )  # fmt: skip


def idle_stage() -> Stage[DatasetIngested, IdleSpec, IdleResult]:
    return Stage(
        name="preprocess", consumes=DatasetIngested, revision=1, spec=IdleSpec, result=IdleResult, outputs={},
        plan=plan, work=work, join=join, preload=("tests.bench.idle_stage",),
    )  # fmt: skip


class InService:
    """Takes a ``JobRunner``'s place and calls the function itself: what the machinery costs without a process."""

    def __init__(self, preload: Sequence[str] = ()) -> None:
        pass

    async def run_call(self, function: Callable[..., Any], *arguments: Any, **_: object) -> JobOutcome[Any]:
        return JobOutcome(function(*arguments, None), ResourceUsage(attempts=1))

    async def warm(self) -> None:
        pass

    def request_stop(self, grace: float) -> None:
        pass

    async def cancel(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def prepare_run(bus: Bus, store_url: str, run_id: str) -> Callable[[], Awaitable[float]]:
    """What the stage before leaves behind; the returned call does one run and says how many milliseconds it took."""
    recipe = await _recipe(store_url)
    await RunStates(bus).create("default", run_id, RunStatus(reached=["ingest"]))
    event = DatasetIngested(
        run_id=run_id, name=run_id, recipe=recipe, source=NOWHERE, dataset=NOWHERE, task="text-classification",
        rows=1, parts={"data": 1},
    )  # fmt: skip

    await put_on_record(open_records(store_url), "ingest", event)

    async def run() -> float:
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def prepared(message: Any) -> None:
            if json.loads(message.data)["run_id"] == run_id:
                arrived.set_result(None)

        subscription = await bus.client.subscribe(DatasetPrepared.subject, cb=prepared)
        await bus.client.flush()
        begun = time.perf_counter()
        await bus.announce(event, fingerprint=run_id)
        await asyncio.wait_for(arrived, 60)
        taken = (time.perf_counter() - begun) * 1000
        await subscription.unsubscribe()
        return taken

    return run


async def _recipe(store_url: str) -> ArtifactRef:
    """The frozen recipe of every run of this store."""
    if store_url not in _recipes:
        folder = Path(store_url).parent / "recipe"
        folder.mkdir()
        document = Recipe().model_dump_json()
        (folder / "recipe.json").write_text(document)
        store = open_store(store_url, cache=folder.parent / "recipe-cache")
        _recipes[store_url] = await store.put(folder, kind="recipe")
    return _recipes[store_url]

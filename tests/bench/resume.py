"""A training that is killed between two checkpoints, beside an uninterrupted twin: what is lost, and the two curves.

Two trainer services, a real server and store. The service that holds the job is ended with SIGKILL in mid-epoch; the
other takes over. `make bench-resume`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.trainer.spec import LossPoint, TrainingResult
from services.trainer.stage import REVISION, plan
from tests.trainer.conftest import write_dataset
from tidemill.artifacts import open_store
from tidemill.bus import Bus, Leases
from tidemill.contracts import DatasetPrepared, ModelTrained, RunProgressed
from tidemill.contracts.recipe import parse_recipe
from tidemill.records.schema import CheckpointRecord
from tidemill.settings import PlatformSettings
from tidemill.stage.fingerprint import job_fingerprint
from tidemill.testing.events import EventLog, event_log, put_on_record
from tidemill.testing.nats import running_nats, settings_for

SIZES = {"train": 960, "validation": 120, "test": 120}
RECIPE = {
    "model": {"from_scratch": {"layers": 2, "hidden_size": 128, "heads": 4, "vocabulary": 300}, "max_length": 48},
    "training": {"epochs": 6, "batch_size": 16, "learning_rate": 1e-3, "precision": "fp32", "early_stopping": 0},
}
STEPS_PER_EPOCH, STEPS = 60, 360
"""Fewer steps than 400, so that the curve has a point for every one."""
CHECKPOINTS_BEFORE = 2
"""How many checkpoints the worker that is killed has written at least."""
FIT_BEGINS, FIT_SHARE = 0.02, 0.90
"""Which part of a job's progress the steps are."""
CHECKPOINT_EVERY = timedelta(seconds=1)
PATIENCE = 300.0
"""Seconds for one training, on a machine that has other things to do."""


@dataclass(frozen=True)
class Figures:
    """What was lost. Seconds are of the wall."""

    step_when_killed: int
    """The last one that was reported; progress goes out at most ten times a second."""
    first_step_again: int
    """The first one that the other worker did."""
    step_of_checkpoint: int
    since_checkpoint: float
    """From the last checkpoint's record to the kill."""
    takeover: float
    """From the kill to the first sign of the other worker."""
    caught_up: float
    """From the kill until the other worker has reported the step at which the first one was killed."""
    ack_wait: float
    twin: list[LossPoint]
    killed: list[LossPoint]
    same_result: bool

    @property
    def steps_redone(self) -> int:
        return self.step_when_killed - self.first_step_again + 1

    @property
    def difference(self) -> float:
        """Between the two curves, at most."""
        return max(abs(mine.loss - other.loss) for mine, other in zip(self.twin, self.killed, strict=True))


class Place:
    """Two trainers, a dataset, and what is said on the bus."""

    def __init__(self, platform: PlatformSettings, bus: Bus, log: EventLog, event: DatasetPrepared) -> None:
        self.log = log
        self.leases = Leases(bus)
        self.store = open_store(platform.store_url, cache=platform.data_dir / "cache-of-the-bench")
        self.records = self.store.records()
        self._bus = bus
        self._event = event

    async def publish(self, run_id: str) -> str:
        """Start a training of its own; returns the fingerprint of its job."""
        event = self._event.model_copy(update={"run_id": run_id})
        (job,) = plan(event, parse_recipe(RECIPE))
        await put_on_record(self.records, "preprocess", event)
        await self._bus.announce(event, fingerprint="prepared")
        return job_fingerprint("train", REVISION, job.spec, job.inputs, salt=run_id)

    async def result(self, run_id: str, fingerprint: str) -> TrainingResult:
        await self.log.wait_for(ModelTrained, run_id, seconds=PATIENCE)
        record = await self.records.result("default", fingerprint)
        assert record is not None
        return TrainingResult.model_validate(record.result)

    def steps(self, run_id: str, since: int = 0) -> list[int]:
        """The steps that were reported with their loss, of the events from number ``since`` on."""
        told = [event for event in self.log.events[since:] if isinstance(event, RunProgressed)]
        return [
            round((event.fraction - FIT_BEGINS) / FIT_SHARE * STEPS)
            for event in told
            if event.run_id == run_id and "loss" in event.metrics and event.fraction is not None
        ]

    async def until_mid_epoch(self, run_id: str, fingerprint: str) -> None:
        """Wait until the next checkpoint is nearly due, and steps of the same epoch have been done since the last."""
        async with asyncio.timeout(PATIENCE):
            while True:
                last = await self.records.latest_checkpoint("default", fingerprint)
                if last is not None and last.number >= CHECKPOINTS_BEFORE:
                    saved, now = await self.step_of(last), max(self.steps(run_id), default=0)
                    late = datetime.now(UTC) - last.at >= 0.6 * CHECKPOINT_EVERY
                    if late and saved < now and saved // STEPS_PER_EPOCH == now // STEPS_PER_EPOCH:
                        return
                await asyncio.sleep(0.02)

    async def step_of(self, checkpoint: CheckpointRecord) -> int:
        state = json.loads(await self.store.read(checkpoint.artifact, "trainer_state.json"))
        return int(state["global_step"])


async def killed_and_twin(folder: Path, ack_wait: timedelta = timedelta(seconds=3)) -> Figures:
    """Train twice, once in one go and once with a kill."""
    async with place(folder, ack_wait) as bench:
        twin = await bench.result("twin", await bench.publish("twin"))
        fingerprint = await bench.publish("killed")
        await bench.until_mid_epoch("killed", fingerprint)
        holder = await bench.leases.holder(fingerprint)
        assert holder is not None
        os.kill(int(holder.rpartition("-")[2]), signal.SIGKILL)
        killed_at, wall = datetime.now(UTC), time.monotonic()
        await asyncio.sleep(0.2)  # what the service had sent arrives
        reached, seen = max(bench.steps("killed")), len(bench.log.events)
        checkpoint = await bench.records.latest_checkpoint("default", fingerprint)
        assert checkpoint is not None
        takeover = caught_up = 0.0
        async with asyncio.timeout(PATIENCE):
            while not caught_up:
                now = time.monotonic() - wall
                told = [event for event in bench.log.events[seen:] if isinstance(event, RunProgressed)]
                takeover = takeover or (now if told else 0.0)
                caught_up = now if max(bench.steps("killed", seen), default=0) >= reached else 0.0
                await asyncio.sleep(0.02)
        killed = await bench.result("killed", fingerprint)
        return Figures(
            step_when_killed=reached,
            first_step_again=min(bench.steps("killed", seen)),
            step_of_checkpoint=await bench.step_of(checkpoint),
            since_checkpoint=(killed_at - checkpoint.at).total_seconds(),
            takeover=takeover,
            caught_up=caught_up,
            ack_wait=ack_wait.total_seconds(),
            twin=twin.losses,
            killed=killed.losses,
            same_result=(twin.epochs, twin.evaluation) == (killed.epochs, killed.evaluation),
        )


@asynccontextmanager
async def place(folder: Path, ack_wait: timedelta) -> AsyncIterator[Place]:
    async with running_nats(folder, ack_wait=ack_wait) as server:
        platform = settings_for(server, folder, ack_wait=ack_wait)
        bus = Bus.from_settings(platform, "bench")
        await bus.connect()
        store = open_store(platform.store_url, cache=folder / "cache")
        write_dataset(folder / "prepared", sizes=SIZES)
        (folder / "recipe").mkdir()
        (folder / "recipe" / "recipe.json").write_text(parse_recipe(RECIPE).model_dump_json())
        dataset = await store.put(folder / "prepared", kind="dataset")
        recipe = await store.put(folder / "recipe", kind="recipe")
        event = DatasetPrepared(
            run_id="none", name="topics", recipe=recipe, use_cache=False, ingested=dataset, dataset=dataset,
            task="text-classification", parts=SIZES, labels=["bank", "weather"],
        )  # fmt: skip
        with trainer(platform, "one"), trainer(platform, "two"):
            async with event_log(bus) as log:
                yield Place(platform, bus, log, event)
        await bus.broker.stop()


@contextmanager
def trainer(platform: PlatformSettings, name: str) -> Iterator[None]:
    """A trainer service in a process of its own, ended with the context."""
    ready = platform.data_dir / "ready" / name
    password = platform.nats_password.get_secret_value() if platform.nats_password else ""
    environment = os.environ | {
        "TIDEMILL_NATS_URL": platform.nats_url,
        "TIDEMILL_NATS_USER": platform.nats_user or "",
        "TIDEMILL_NATS_PASSWORD": password,
        "TIDEMILL_STORE_URL": platform.store_url,
        "TIDEMILL_DATA_DIR": str(platform.data_dir),
        "TIDEMILL_ACK_WAIT": f"PT{platform.ack_wait.total_seconds():g}S",
        "TIDEMILL_READY_FILE": str(ready),
        "TIDEMILL_TRAINER_CHECKPOINT_EVERY": f"PT{CHECKPOINT_EVERY.total_seconds():g}S",
        "TIDEMILL_TRAINER_THREADS": "1",
    }
    with (platform.data_dir / f"{name}.log").open("w") as written:
        running = subprocess.Popen(
            [sys.executable, "-m", "services.trainer"], env=environment, stdout=written, stderr=written
        )
        try:
            while not ready.exists():
                assert running.poll() is None, (platform.data_dir / f"{name}.log").read_text()
                time.sleep(0.05)
            yield
        finally:
            running.terminate()
            running.wait(60)


def report(figures: Figures) -> None:
    steps = [point.step for point in figures.killed]
    whole = steps == [point.step for point in figures.twin] == sorted(set(steps))
    print(f"killed after step           {figures.step_when_killed} of {STEPS}")
    print(f"steps done again            {figures.steps_redone} (last checkpoint: step {figures.step_of_checkpoint})")
    every = CHECKPOINT_EVERY.total_seconds()
    print(f"since the last checkpoint   {figures.since_checkpoint:.2f} s of work (one is written every {every:g} s)")
    print(f"taken over after            {figures.takeover:.2f} s (ack_wait {figures.ack_wait:g} s)")
    print(f"back at the same step after {figures.caught_up:.2f} s")
    print(f"loss curve                  {len(steps)} points, {'no gap and nothing twice' if whole else 'BROKEN'}")
    print(f"beside the twin's           differs by {figures.difference:.2g} at most")
    print(f"evaluation, all epochs      {'the same' if figures.same_result else 'DIFFERENT'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ack-wait", type=float, default=3.0, help="seconds")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report(asyncio.run(killed_and_twin(Path(name), timedelta(seconds=given.ack_wait))))

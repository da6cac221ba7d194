"""The runs of a scene: published as people do, cancelled and retried in the middle, followed to their end."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import tidemill
from tests.faults.orders import Order
from tests.faults.platform import HurtPlatform
from tests.faults.watching import Watch
from tidemill.client import Platform
from tidemill.contracts import DatasetPublished
from tidemill.errors import InvalidInput, NotFound, TidemillError
from tidemill.records.schema import OutcomeRecord

PROJECT = "default"
T = TypeVar("T")


@dataclass
class Tracked:
    """One run that was ordered. ``run_id`` is known when it was published; ``outcome`` when it has ended for good."""

    order: Order
    run_id: str | None = None
    published_at: float = 0.0
    ended_at: float | None = None
    outcome: OutcomeRecord | None = None
    cancelled: bool = False
    """The command to cancel it was taken."""
    retried: bool = False
    notes: list[str] = field(default_factory=list)


class Runs:
    """Publishes ``orders`` and follows them, ``at_once`` in flight."""

    def __init__(self, platform: HurtPlatform, watch: Watch, seed: int, *, at_once: int) -> None:
        self._platform = platform
        self._watch = watch
        self._chance = random.Random(f"runs {seed}")
        self._places = asyncio.Semaphore(at_once)
        self._datasets = platform.folder / "datasets"
        self._datasets.mkdir(exist_ok=True)
        self.tracked: list[Tracked] = []
        self.bare_pending = 0
        """Bare publishes that ingest has not put on record yet: a stream lost now would lose them, as documented."""
        self.published = asyncio.Event()

    def in_flight(self) -> list[Tracked]:
        """Runs that were published and have not ended."""
        return [one for one in self.tracked if one.run_id is not None and one.outcome is None]

    async def carry_out(self, order: Order) -> Tracked:
        """Publish one order and follow it to its end."""
        async with self._places:
            run = Tracked(order)
            self.tracked.append(run)
            run.published_at = time.monotonic()
            if order.way == "bare":
                run.run_id = await self._publish_bare(order)
            else:
                run.run_id = await self._publish(order)
            self.published.set()
            if order.fate in ("cancel", "cancel-and-retry"):
                await self._cancel(run)
            await self._until_ended(run)
            if order.fate == "cancel-and-retry" and run.outcome is not None and run.outcome.state == "cancelled":
                await self._retry(run)
            return run

    async def ask(self, question: Callable[[Platform], T], *, seconds: float = 120.0, gateway: int | None = None) -> T:
        """What either gateway answers, asked again while it or what is behind it is away."""
        deadline = time.monotonic() + seconds
        while True:
            number = self._chance.randrange(2) if gateway is None else gateway
            try:
                return await asyncio.to_thread(_ask, self._platform.gateways[number], question)
            except (InvalidInput, NotFound):
                raise
            except TidemillError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.5)

    async def _publish(self, order: Order) -> str:
        path = await asyncio.to_thread(order.write, self._datasets)
        gateway = 0 if order.way == "gateway-1" else 1
        tries = 0

        def publish(client: Platform) -> str:
            return client.publish(path, name=order.name, recipe=order.recipe).run_id

        while True:  # the other gateway, when this one does not answer
            try:
                return await self.ask(publish, seconds=0.0, gateway=(gateway + tries) % 2)
            except (InvalidInput, NotFound):
                raise
            except TidemillError:
                tries += 1
                await asyncio.sleep(0.5)

    async def _publish_bare(self, order: Order) -> str:
        path = await asyncio.to_thread(order.write, self._datasets)
        document = {"name": order.name, "uri": str(path), "recipe": order.recipe}
        self.bare_pending += 1
        try:
            while True:
                known = await self._named(order)
                try:
                    await self._platform.bus.jetstream.publish(
                        DatasetPublished.subject, json.dumps(document).encode(), stream="EVENTS", timeout=5
                    )
                except Exception:
                    await asyncio.sleep(1.0)
                    continue
                while True:
                    if new := await self._named(order) - known:
                        return new.pop()
                    await asyncio.sleep(0.5)
        finally:
            self.bare_pending -= 1

    async def _named(self, order: Order) -> set[str]:
        """Bare runs of that name that are on record and belong to nobody."""
        claimed = {one.run_id for one in self.tracked}
        found = set()
        for run_id in await self._platform.records.run_ids(PROJECT):
            if run_id in claimed or len(run_id) != len("run-") + 16:
                continue
            record = await self._platform.records.run(PROJECT, run_id)
            if record is not None and record.event.name == order.name:
                found.add(run_id)
        return found

    async def _cancel(self, run: Tracked) -> None:
        run_id = run.run_id or ""
        while self._watch.stage.get(run_id) not in (run.order.stage, "compress", "register", "ended"):
            if await self._ended(run_id) is not None:
                return
            await asyncio.sleep(0.1)
        await asyncio.sleep(self._chance.uniform(0.0, 0.5))
        await self.ask(lambda client: client.run(run_id).cancel())
        run.cancelled = True

    async def _retry(self, run: Tracked) -> None:
        run_id = run.run_id or ""
        first = run.outcome
        run.outcome = None
        run.retried = True
        try:
            await self.ask(lambda client: client._gateway.post(f"/v1/runs/{run_id}:retry"))
        except InvalidInput as refused:
            run.notes.append(f"retry was refused: {refused}")
            run.outcome = first
            return
        while (outcome := await self._ended(run_id)) is not None and first is not None:
            if outcome.epoch > first.epoch:
                break
            await asyncio.sleep(0.3)
        await self._until_ended(run)

    async def _until_ended(self, run: Tracked) -> None:
        while (outcome := await self._ended(run.run_id or "")) is None:
            await asyncio.sleep(0.5)
        run.outcome = outcome
        run.ended_at = time.monotonic()

    async def _ended(self, run_id: str) -> OutcomeRecord | None:
        """How the run's latest epoch ended, as its records say; None while it goes on."""
        records = self._platform.records
        try:
            epochs = await records.epochs(PROJECT, run_id)
            outcomes = await records.outcomes(PROJECT, run_id)
        except TidemillError:
            return None
        latest = max([1, *(epoch.epoch for epoch in epochs)])
        return next((outcome for outcome in outcomes if outcome.epoch == latest), None)


def _ask(url: str, question: Callable[[Platform], T]) -> T:
    with tidemill.connect(url) as client:
        return question(client)

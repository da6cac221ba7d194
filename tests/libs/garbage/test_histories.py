"""Histories by chance: whatever people and runs do between collections, what is referred to is whole.

What has to be there is worked out from what the test itself did, not from the records.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.libs.garbage.conftest import HOUR, House, Run
from tidemill.contracts import ArtifactRef
from tidemill.records.schema import DatasetDeleted, ModelDeleted


class History:
    """A few names, few different contents, so that bytes are shared all the time."""

    def __init__(self, house: House, chance: random.Random) -> None:
        self.house = house
        self.chance = chance
        self.running: list[Run] = []
        self.failed: list[Run] = []
        self.finished: list[tuple[Run, int]] = []
        self.numbers: dict[str, int] = {}
        self.versions_gone: set[tuple[str, int]] = set()
        self.datasets_gone: set[str] = set()

    async def publish(self) -> None:
        run = await self.house.publish(self.chance.choice("ab"), self.chance.choice("xyz"))
        self.running.append(run)
        for step in (run.ingest, run.prepare)[: self.chance.randint(0, 2)]:
            await step()

    async def finish(self) -> None:
        run = self._taken(self.running)
        if run is not None:
            number = self.numbers[run.name] = self.numbers.get(run.name, 0) + 1
            await self._rest(run, number)
            self.finished.append((run, number))

    async def _rest(self, run: Run, number: int) -> None:
        steps = {"ingested": run.ingest, "prepared": run.prepare}
        for role, step in steps.items():
            if role not in run.made:
                await step()
        await run.finish_from_prepared(self.chance.choice("mno"), number)

    async def fail(self) -> None:
        run = self._taken(self.running)
        if run is not None:
            await run.end()
            self.failed.append(run)

    async def delete_model(self) -> None:
        living = [(run.name, number) for run, number in self.finished if (run.name, number) not in self.versions_gone]
        if living:
            name, number = self.chance.choice(living)
            decision = ModelDeleted(name=name, versions=(number,))
            await self.house.records.append_decision("default", lambda _: decision)
            self.versions_gone.add((name, number))

    async def delete_dataset(self) -> None:
        name = self.chance.choice("ab")
        ended = [run.run_id for run in [*self.failed, *(one for one, _ in self.finished)] if run.name == name]
        if ended:
            decision = DatasetDeleted(name=name, runs=tuple(ended))
            await self.house.records.append_decision("default", lambda _: decision)
            self.datasets_gone.update(ended)

    async def collect(self) -> None:
        self.house.ahead += 25 * HOUR
        await self.house.collect()

    def needed(self) -> set[ArtifactRef]:
        found = {ref for run in self.running for ref in run.artifacts}
        for run in self.failed:
            found |= set() if run.run_id in self.datasets_gone else set(run.artifacts)
        for run, number in self.finished:
            if run.run_id not in self.datasets_gone:
                found |= {ref for ref in run.artifacts if ref.kind in ("source", "dataset")}
            if (run.name, number) not in self.versions_gone:
                found |= {ref for ref in run.artifacts if ref.kind in ("model", "recipe")}
        return found

    def everything(self) -> set[ArtifactRef]:
        runs = [*self.running, *self.failed, *(run for run, _ in self.finished)]
        return {ref for run in runs for ref in run.artifacts}

    def _taken(self, runs: list[Run]) -> Run | None:
        return runs.pop(self.chance.randrange(len(runs))) if runs else None


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_referred_to_is_whole_and_what_is_not_goes(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    history = History(House(str(tmp_path / "store"), tmp_path), chance)
    steps = [history.publish, history.finish, history.fail, history.delete_model, history.delete_dataset]
    for _ in range(25):
        await chance.choice([*steps, history.publish, history.collect, history.collect])()
        for ref in history.needed():
            assert await history.house.store.exists(ref), ref
    await history.collect()
    await history.collect()
    needed = history.needed()
    assert all([await history.house.whole(ref) for ref in needed])
    left = history.everything() - needed
    assert [ref for ref in left if ref.kind != "recipe" and await history.house.store.exists(ref)] == []

"""A put and a collection at the same time, interleaved at every step of one of them: bytes are never lost.

The first phase has condemned an artifact; the second deletes it while somebody puts the same bytes again, or another
artifact that shares a shard with it, or adopts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.libs.garbage.conftest import HOUR, House
from tidemill.artifacts import ObjectArtifactStore
from tidemill.artifacts import condemned as condemned_module
from tidemill.artifacts.objects import Objects, StoredObject, open_objects
from tidemill.contracts import ArtifactRef
from tidemill.errors import TransientError

Hook = Callable[[], Awaitable[None]]
_STEPS = ("create", "write", "read", "look_up", "delete")


def stepping(url: str, at: int, hook: Hook) -> tuple[Objects, list[str]]:
    """Object storage that calls ``hook`` before the ``at``-th request to it, and the list of all requests so far."""
    objects = open_objects(url)
    steps: list[str] = []

    def wrapped(name: str) -> Any:
        original = getattr(objects, name)

        async def step(*arguments: Any, **named: Any) -> Any:
            steps.append(f"{name} {arguments[0]}")
            if len(steps) == at:
                await hook()
            return await original(*arguments, **named)

        return step

    listing = objects.entries

    async def entries(prefix: str, **named: Any) -> AsyncIterator[StoredObject]:
        steps.append(f"entries {prefix}")
        if len(steps) == at:
            await hook()
        async for one in listing(prefix, **named):
            yield one

    for name in _STEPS:
        setattr(objects, name, wrapped(name))
    objects.entries = entries  # type: ignore[method-assign,assignment]
    return objects, steps


async def condemned_house(house: House) -> ArtifactRef:
    """An artifact that was condemned a day ago."""
    ref = await house.put("again", "model")
    house.ahead += 25 * HOUR
    await house.collect()
    house.ahead += 25 * HOUR
    return ref


async def put_again(house: House, ref: ArtifactRef) -> ArtifactRef:
    return await house.put("again", "model")


async def put_what_shares_a_shard(house: House, ref: ArtifactRef) -> ArtifactRef:
    return await house.put("another", "model")


async def adopt(house: House, ref: ArtifactRef) -> ArtifactRef:
    return ref if await house.store.adopt(ref) else await house.put("again", "model")


USES = [put_again, put_what_shares_a_shard, adopt]


async def _put_during_a_collection(house: House, use: Any, at: int) -> bool:
    """Whether the collection has a step ``at``, in front of which the put begins."""
    ref = await condemned_house(house)
    using: list[asyncio.Task[ArtifactRef]] = []

    async def begin() -> None:
        using.append(asyncio.create_task(use(house, ref)))
        await asyncio.wait(using, timeout=0.3)  # it ends, or waits for the collection

    objects, _ = stepping(house.url, at, begin)
    await house.collect(objects=objects)
    if not using:
        return False
    assert await house.whole(await using[0])
    # The next collection comes within the grace of it, and nothing refers to it yet.
    return True


@pytest.mark.parametrize("use", USES)
async def test_a_put_that_begins_at_any_step_of_a_collection_is_whole(
    use: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    at, more = 0, True
    while more:
        at += 1
        folder = tmp_path_factory.mktemp("house")
        more = await _put_during_a_collection(House(str(folder / "store"), folder), use, at)
    assert at > 10


@pytest.mark.parametrize("use", USES)
async def test_a_collection_that_happens_at_any_step_of_a_put_leaves_it_whole(
    use: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    at = 0
    happened = True
    while happened:
        at += 1
        happened = False
        folder = tmp_path_factory.mktemp("house")
        house = House(str(folder / "store"), folder)
        ref = await condemned_house(house)

        async def collect(house: House = house) -> None:
            nonlocal happened
            happened = True
            await house.collect()

        objects, _ = stepping(house.url, at, collect)
        house.store = ObjectArtifactStore(objects, cache=folder / "cache-of-the-put", shard_size=100)
        assert await house.whole(await use(house, ref))
    assert at > 3


@pytest.mark.parametrize("at", [12, 15, 18])
async def test_a_put_during_a_collection_is_whole_on_s3_too(either_house: House, at: int) -> None:
    if not either_house.url.startswith("s3://"):
        pytest.skip("all steps were tried on a folder")
    assert await _put_during_a_collection(either_house, put_again, at)


async def test_a_collection_that_dies_at_any_step_is_completed_by_the_next(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = True
    at = 0
    while died:
        at += 1
        died = False
        folder = tmp_path_factory.mktemp("house")
        house = House(str(folder / "store"), folder)
        kept = await (await house.publish("kept")).ingest()
        before = await house.objects()
        await condemned_house(house)

        async def die() -> None:
            nonlocal died
            died = True
            raise KilledError

        objects, _ = stepping(house.url, at, die)
        try:
            await house.collect(objects=objects)
        except KilledError:
            monkeypatch.setattr("tidemill.garbage.sweep.DEAD_SECONDS", 0)
            await house.collect()
            monkeypatch.undo()
        left = await house.objects()
        left.pop(condemned_module.NOTICE, None)
        assert left == before, at
        assert all([await house.whole(ref) for ref in kept.artifacts])
    assert at > 10


class KilledError(Exception):
    pass


async def test_a_put_passes_by_the_notice_of_a_collection_that_was_killed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await condemned_house(house)

    async def die() -> None:
        raise KilledError

    objects, steps = stepping(house.url, 10**6, die)
    await house.collect(objects=objects, dry_run=True)
    first_delete = len(steps)
    objects, steps = stepping(house.url, first_delete + 5, die)
    with pytest.raises(KilledError):
        await house.collect(objects=objects)
    assert await house.store.objects.size(condemned_module.NOTICE) is not None
    monkeypatch.setattr(condemned_module, "DEAD_SECONDS", 0.2)
    again = await house.put("again", "model")
    assert again == ref
    assert await house.whole(again)
    assert await house.store.objects.size(condemned_module.NOTICE) is None


async def test_a_collection_that_was_paused_for_minutes_deletes_nothing_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await condemned_house(house)

    async def paused() -> None:
        """For longer than a notice holds; a put has taken it for dead."""
        await open_objects(house.url).delete([condemned_module.NOTICE])
        monkeypatch.setattr("tidemill.garbage.sweep.BATCH_SECONDS", -1)

    objects, steps = stepping(house.url, 10**6, paused)
    await house.collect(objects=objects, dry_run=True)
    objects, steps = stepping(house.url, len(steps) + 5, paused)
    with pytest.raises(TransientError, match="taken over"):
        await house.collect(objects=objects)
    assert steps[-2].startswith("look_up artifacts/condemned/")
    assert await house.whole(ref)

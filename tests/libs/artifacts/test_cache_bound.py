"""A cache with a bound: what was asked for longest ago goes, what is in use stays, nobody notices."""

from __future__ import annotations

import os
from pathlib import Path

from tidemill.artifacts import ObjectArtifactStore, open_store
from tidemill.contracts import ArtifactRef

MB = 1 << 20
BOUND = 4 * MB


async def put(store: ObjectArtifactStore, folder: Path, number: int) -> ArtifactRef:
    """An artifact of a megabyte."""
    source = folder / "sources" / str(number)
    source.mkdir(parents=True)
    (source / "data.bin").write_bytes(bytes([number]) * MB)
    return await store.put(source, kind="dataset")


def cached(folder: Path) -> dict[int, Path]:
    """The contents of the cache, by the number that they are made of."""
    return {path.read_bytes()[0]: path for path in (folder / "cache" / "objects").glob("*/*")}


def last_asked(folder: Path, number: int, at: float) -> None:
    os.utime(cached(folder)[number], (at, at))


async def test_the_cache_stays_within_its_bound_and_artifacts_are_fetched_all_the_same(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"), cache=tmp_path / "cache", cache_bytes=BOUND)
    refs = [await put(store, tmp_path, number) for number in range(8)]
    for turn in range(2):
        for number, ref in enumerate(refs):
            there = await store.fetch(ref, tmp_path / f"into-{turn}-{number}")
            assert (there / "data.bin").read_bytes()[0] == number
            (there / "data.bin").unlink()  # the job is over: nobody else holds the content
            assert sum(path.stat().st_size for path in cached(tmp_path).values()) <= BOUND


async def test_what_was_asked_for_longest_ago_goes_first(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"), cache=tmp_path / "cache", cache_bytes=BOUND)
    refs = [await put(store, tmp_path, number) for number in range(5)]
    for number in range(4):
        there = await store.fetch(refs[number], tmp_path / f"into-{number}")
        (there / "data.bin").unlink()
        last_asked(tmp_path, number, at=1_000_000_000 + number)
    again = await store.fetch(refs[0], tmp_path / "again")  # the oldest is asked for once more
    (again / "data.bin").unlink()
    await store.fetch(refs[4], tmp_path / "into-4")
    assert set(cached(tmp_path)) == {0, 3, 4}


async def test_what_a_job_holds_is_left_to_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"), cache=tmp_path / "cache", cache_bytes=BOUND)
    refs = [await put(store, tmp_path, number) for number in range(6)]
    for number in range(6):
        await store.fetch(refs[number], tmp_path / f"into-{number}")
        last_asked(tmp_path, number, at=1_000_000_000 + number)
    assert set(cached(tmp_path)) == set(range(6)), "they are links of the jobs' files: removing them frees nothing"


async def test_without_a_bound_everything_is_kept(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"), cache=tmp_path / "cache")
    for number in range(6):
        there = await store.fetch(await put(store, tmp_path, number), tmp_path / f"into-{number}")
        (there / "data.bin").unlink()
    assert len(cached(tmp_path)) == 6

"""An artifact put into a local folder and fetched from it: encrypted beside plain, in turns. `make bench-encryption`.

Put includes hashing and syncing to disk, fetch includes verifying every digest.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from tidemill.artifacts import ObjectArtifactStore
from tidemill.artifacts.encryption.master import KeptMasterKey
from tidemill.artifacts.encryption.objects import EncryptedObjects
from tidemill.artifacts.encryption.sealed import HEADER, Seal
from tidemill.artifacts.location import Folder
from tidemill.artifacts.objects import Objects

TURNS = 3
MB = 1_000_000


async def main(megabytes: int) -> None:
    cipher(megabytes * MB // 5)
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        with (source / "weights").open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(MB))
        for turn in range(TURNS):
            for kind in ("plain", "encrypted"):
                place = Path(folder) / f"{kind}-{turn}"
                location = Folder(place / "store")
                objects = (
                    Objects(location) if kind == "plain" else EncryptedObjects(location, KeptMasterKey(os.urandom(32)))
                )
                store = ObjectArtifactStore(objects, cache=place / "cache")
                began = time.perf_counter()
                ref = await store.put(source, kind="model")
                put = time.perf_counter()
                await store.fetch(ref, place / "into")
                fetched = time.perf_counter()
                rates.setdefault(f"put, {kind}", []).append(megabytes / (put - began))
                rates.setdefault(f"fetch, {kind}", []).append(megabytes / (fetched - put))
                shutil.rmtree(place)
    for what, found in sorted(rates.items()):
        print(
            f"{what:18} {statistics.median(found):6.0f} MB/s (median of {TURNS}: {min(found):.0f} to {max(found):.0f})"
        )
    for verb in ("put", "fetch"):
        ratios = [a / b for a, b in zip(rates[f"{verb}, encrypted"], rates[f"{verb}, plain"], strict=True)]
        print(f"{verb}: encrypted at {statistics.median(ratios):.2f} of plain")


def cipher(size: int) -> None:
    """The cipher alone, in memory, on one core."""
    data = os.urandom(size)
    seal = Seal.new("bench", os.urandom(32), os.urandom(16))
    began = time.perf_counter()
    sealed = seal.close_all(data)
    closed = time.perf_counter()
    assert seal.open_range(sealed[HEADER:], 0, to_the_end=True) == data
    opened = time.perf_counter()
    print(
        f"cipher alone: {size / MB / (closed - began):.0f} MB/s closed, {size / MB / (opened - closed):.0f} MB/s opened"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    asyncio.run(main(parser.parse_args().megabytes))

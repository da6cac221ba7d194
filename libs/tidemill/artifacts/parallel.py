"""Bounded concurrency: work on many things with a few at a time. Knows nothing of stores."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def in_parallel(work: Callable[[T], Awaitable[R]], items: Sequence[T], *, limit: int = 8) -> list[R]:
    """Results of ``work`` on every item, in the order of ``items``; at most ``limit`` run at the same time.

    The first error cancels the rest, waits for them to end, and is raised.
    """
    results: dict[int, R] = {}
    waiting = iter(enumerate(items))

    async def worker() -> None:
        for index, item in waiting:
            results[index] = await work(item)

    workers = [asyncio.create_task(worker()) for _ in range(min(limit, len(items)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [results[index] for index in range(len(items))]

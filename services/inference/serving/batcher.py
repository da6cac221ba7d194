"""A work-conserving batcher: executor threads that take what is waiting, and no timers.

A thread that is free takes its share of what is queued at once, so that a lone request never waits for company and
a full queue is worked off in batches. Rows of similar length go together, since a batch is padded to its longest. The
queue is bounded: what does not fit is refused at once, which is kinder than a late answer.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from services.inference.serving.errors import NotReady, Overloaded

Logits = NDArray[np.float32]

MAX_QUEUED_CHARACTERS = 32_000_000
"""Bounds the memory that waiting rows hold, however few they are."""
_SCAN = 64
"""Waiting pieces that a thread looks through for rows of a similar length."""
_SLACK = 16
"""Rows whose lengths differ by less (in tokens, roughly) are similar."""
_SMALLEST_PIECE = 4
"""Rows below which it does not pay to share one request between threads."""


class BatchModel(Protocol):
    """What the batcher calls: one model version. Hashable by identity."""

    @property
    def project(self) -> str:
        """For metrics."""

    @property
    def name(self) -> str:
        """For metrics."""

    @property
    def max_length(self) -> int:
        """Tokens at which longer rows are cut."""

    def run(self, instances: Sequence[str]) -> Logits:
        """Logits of one batch, float32 [instances, labels]; called from several threads at once."""


@dataclass(eq=False, slots=True)
class _Piece:
    """Rows of one request that are computed together."""

    model: BatchModel
    instances: Sequence[str]
    length: int
    characters: int
    order: int
    done: asyncio.Future[Logits]
    loop: asyncio.AbstractEventLoop


class Batcher:
    """Runs rows on ``threads`` executor threads. ``observe`` is told the project, model and rows of each batch."""

    def __init__(
        self, *, threads: int, max_batch: int, max_queued_rows: int, observe: Callable[[str, str, int], None]
    ) -> None:
        self.threads = threads
        self.max_queued_rows = max_queued_rows
        self._max_batch = max_batch
        self._observe = observe
        self._queues: dict[BatchModel, deque[_Piece]] = {}
        self._rows = 0
        self._characters = 0
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closing = False
        self._workers: list[threading.Thread] = []

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a free thread."""
        return self._rows

    def start(self) -> None:
        """Start the threads."""
        for number in range(self.threads):
            worker = threading.Thread(target=self._work, name=f"executor-{number}", daemon=True)
            worker.start()
            self._workers.append(worker)

    async def close(self) -> None:
        """Work off what is queued, take nothing more, end the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for worker in self._workers:
            await asyncio.to_thread(worker.join)

    async def run(self, model: BatchModel, instances: Sequence[str]) -> Logits:
        """Logits of ``instances``, float32 [instances, labels], in their order.

        Raises:
            Overloaded: too many rows are waiting.
            NotReady: the gateway is leaving.
        """
        pieces, positions = self._cut(model, instances)
        self._enqueue(pieces, len(instances))
        if len(pieces) == 1:
            return await pieces[0].done
        parts = await asyncio.gather(*(piece.done for piece in pieces))
        joined = np.concatenate(parts)
        ordered = np.empty_like(joined)
        ordered[positions] = joined
        return ordered

    def _cut(self, model: BatchModel, instances: Sequence[str]) -> tuple[list[_Piece], list[int]]:
        """Pieces of at most one batch; a larger request is shared between threads, similar lengths together."""
        lengths = [_length(text, model.max_length) for text in instances]
        size = min(self._max_batch, max(_SMALLEST_PIECE, -(-len(instances) // self.threads)))
        loop = asyncio.get_running_loop()

        def piece(rows: Sequence[str], length: int) -> _Piece:
            characters = sum(map(len, rows))
            return _Piece(model, rows, length, characters, next(self._order), loop.create_future(), loop)

        if len(instances) <= size:
            return [piece(instances, max(lengths))], []
        positions = sorted(range(len(instances)), key=lengths.__getitem__)
        groups = [positions[start : start + size] for start in range(0, len(positions), size)]
        return [piece([instances[i] for i in group], lengths[group[-1]]) for group in groups], positions

    def _enqueue(self, pieces: list[_Piece], rows: int) -> None:
        characters = sum(piece.characters for piece in pieces)
        with self._changed:
            if self._closing:
                raise NotReady("the gateway is shutting down")
            # A single request may be larger than the queue: an empty queue takes anything.
            crowded = self._rows + rows > self.max_queued_rows or self._characters + characters > MAX_QUEUED_CHARACTERS
            if self._rows and crowded:
                raise Overloaded(f"{self._rows} rows are waiting for this gateway's {self.threads} threads; try later")
            self._rows += rows
            self._characters += characters
            self._queues.setdefault(pieces[0].model, deque()).extend(pieces)
            self._changed.notify(len(pieces))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queues and not self._closing:
                    self._changed.wait()
                if not self._queues:
                    return
                pieces = self._take()
            self._compute(pieces)

    def _take(self) -> list[_Piece]:
        """The pieces of one batch: that which has waited longest, and similar ones up to this thread's share."""
        queue = min(self._queues.values(), key=lambda waiting: waiting[0].order)
        head = queue.popleft()
        taken, rows = [head], len(head.instances)
        share = min(self._max_batch, -(-self._rows // self.threads))
        passed: list[_Piece] = []
        while queue and rows < share and len(passed) < _SCAN:
            piece = queue.popleft()
            if rows + len(piece.instances) <= self._max_batch and _similar(head.length, piece.length):
                taken.append(piece)
                rows += len(piece.instances)
            else:
                passed.append(piece)
        queue.extendleft(reversed(passed))
        if not queue:
            del self._queues[head.model]
        self._rows -= rows
        self._characters -= sum(piece.characters for piece in taken)
        return taken

    def _compute(self, pieces: list[_Piece]) -> None:
        model = pieces[0].model
        rows = [text for piece in pieces for text in piece.instances]
        outcomes: list[Any]
        try:
            logits = model.run(rows)
            self._observe(model.project, model.name, len(rows))
            ends = itertools.accumulate(len(piece.instances) for piece in pieces)
            outcomes = [logits[end - len(piece.instances) : end] for piece, end in zip(pieces, ends, strict=True)]
        except Exception as error:
            if len(pieces) > 1:  # what one request brought must not fail the others
                for piece in pieces:
                    self._compute([piece])
                return
            outcomes = [error]
        pieces[0].loop.call_soon_threadsafe(_deliver, pieces, outcomes)


def _deliver(pieces: list[_Piece], outcomes: list[Any]) -> None:
    for piece, outcome in zip(pieces, outcomes, strict=True):
        if piece.done.done():
            continue
        if isinstance(outcome, Exception):
            piece.done.set_exception(outcome)
        else:
            piece.done.set_result(outcome)


def _length(text: str, longest: int) -> int:
    """Tokens, roughly: about four UTF-8 bytes each in English, three in Chinese."""
    return min(len(text.encode()) // 4 + 1, longest)


def _similar(one: int, other: int) -> bool:
    return abs(one - other) <= max(_SLACK, min(one, other))

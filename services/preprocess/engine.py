"""Where Daft frames are computed: on this machine, or on a Ray cluster. The frames are the same, and so are the rows.

A process has one engine for its life, as Daft has one runner. On this machine a job of many rows computes them in
several processes, since the Python in its frames (normalisation, personal data) has one core in each: see ``Engine``.
Knows nothing of steps.
"""

from __future__ import annotations

import contextlib
import gc
import glob
import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import daft
import pyarrow as pa
import pyarrow.parquet as pq
from daft import DataFrame
from daft.exceptions import DaftCoreException

from tidemill.datasets.writing import ROW_GROUP
from tidemill.errors import InvalidInput, TransientError
from tidemill.jobs import forks
from tidemill.jobs.forks import Fork, Send

T = TypeVar("T")
R = TypeVar("R")

SHARDS_AT_ONCE = 8
"""Shards whose frames a Ray cluster computes at the same time; each is one partition, so a frame has one node busy."""
_BUFFERED = 2
"""Batches that wait for their writer while the next ones are computed: what bounds memory."""


@dataclass(frozen=True)
class Computed(Generic[T]):
    """A frame that is being computed: what its maker says ``about`` it, its columns, and its rows in their order."""

    about: T
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


Build = Callable[[DataFrame, int], tuple[DataFrame, T]]
"""Makes the wanted frame of a file's, given how many rows of the file are before it, and says something about it."""


class Engine:
    """Computes frames of Parquet files batch by batch, in the order of the rows.

    With more than one of ``processes`` Daft works in processes forked from this one and never in this one itself: its
    threads would not be in a fork, which would wait for them for ever. What they leave is the same however many they
    are. A process that Daft ends is worked once more.
    """

    def __init__(
        self, kind: Literal["local", "ray"] = "local", *, address: str | None = None, processes: int = 1
    ) -> None:
        """``address``: of the Ray cluster, which has to see the files under the same paths. ``processes``: at most so
        many at work on this machine; a cluster has its own.

        Raises:
            InvalidInput: the cluster is asked for but ray is not installed, or nobody said where it is.
            TransientError: the cluster cannot be reached.
        """
        # Modules live as long as the process: collections of what work makes need not look at them each time, which
        # took a tenth of the search for personal data.
        gc.freeze()
        self._on_cluster = kind == "ray"
        self._processes = 1 if self._on_cluster else processes
        if self._on_cluster:
            _connect(address)
        else:
            _stay_here()
        # Rows in order, and in the same batches each time: a process that is begun again counts those that it sent.
        daft.set_execution_config(
            maintain_order=True, enable_scan_task_split_and_merge=False, enable_dynamic_batching=False
        )

    @contextmanager
    def compute(self, file: Path, build: Build[T]) -> Iterator[Computed[T]]:
        """The frame that ``build`` makes of a Parquet file; rows are computed while the ones before are used."""
        if self._processes == 1:
            frame, about = build(_read(file), 0)
            yield Computed(about, frame.schema().to_pyarrow_schema(), _batches(frame))
            return
        pieces = _pieces(file)
        count = min(self._processes, len(pieces))
        with contextlib.ExitStack() as stack:
            own = [stack.enter_context(Fork(_sender(file, build, pieces[place::count]))) for place in range(count)]
            sent = [iter(fork) for fork in own]
            said = [next(one) for one in sent]
            about, schema = said[0]
            in_turn = ((sent[place % count], piece) for place, piece in enumerate(pieces))
            yield Computed(about, schema, (batch for one, piece in in_turn for batch in _received(one, piece)))

    def each(self, work: Callable[[T, Engine], R], shards: Sequence[T]) -> list[R]:
        """``work(shard, engine)`` on every shard, side by side: in processes here, on the nodes of a cluster there.

        With one process in turn; each of several gets its share of them.
        """
        if self._processes > 1 and len(shards) > 1:
            at_once = min(self._processes, len(shards))
            share = self._processes // at_once
            return forks.each(lambda shard: work(shard, Engine(processes=share)), shards, at_once)
        if self._on_cluster and len(shards) > 1:
            with ThreadPoolExecutor(SHARDS_AT_ONCE) as pool:
                return list(pool.map(lambda shard: work(shard, self), shards))
        return [work(shard, self) for shard in shards]

    def alone(self, work: Callable[[Engine], R]) -> R:
        """``work(engine)``, in a process of its own where Daft may not work in this one."""
        if self._processes > 1:
            with Fork(lambda _: work(Engine())) as fork:
                return fork.result
        return work(self)


@dataclass(frozen=True)
class _Piece:
    """Row groups of a file, one after the other; how many rows are before them, and how many they have."""

    groups: tuple[int, ...]
    before: int
    rows: int


def _pieces(file: Path) -> list[_Piece]:
    """The file in pieces of whole row groups, each of ``ROW_GROUP`` rows or more; of a file without rows, one."""
    metadata = pq.ParquetFile(file).metadata
    pieces, groups, rows, before = list[_Piece](), list[int](), 0, 0
    for group in range(metadata.num_row_groups):
        groups.append(group)
        rows += metadata.row_group(group).num_rows
        if rows >= ROW_GROUP or group == metadata.num_row_groups - 1:
            pieces.append(_Piece(tuple(groups), before, rows))
            groups, rows, before = [], 0, before + rows
    return pieces or [_Piece((), 0, 0)]


def _sender(file: Path, build: Build[Any], pieces: Sequence[_Piece]) -> Callable[[Send], None]:
    """What a process does: sends what is to be known about its frames, then the batches of each, and an end."""

    def work(send: Send) -> None:
        Engine()
        for place, piece in enumerate(pieces):
            frame, about = build(_read(file, piece.groups), piece.before)
            if place == 0:
                send((about, frame.schema().to_pyarrow_schema()))
            for batch in _batches(frame):
                send(_as_stream(batch))
            send(b"")

    return work


def _as_stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _received(sent: Iterator[Any], piece: _Piece) -> Iterator[pa.RecordBatch]:
    """The batches of one piece, whose frame has as many rows as the piece."""
    rows = 0
    while message := next(sent):
        with pa.ipc.open_stream(message) as stream:
            batch = stream.read_next_batch()
        rows += batch.num_rows
        yield batch
    if rows != piece.rows:
        raise RuntimeError(f"row groups {piece.groups} have {piece.rows} rows, and {rows} were computed")


def _read(file: Path, groups: tuple[int, ...] = ()) -> DataFrame:
    """The rows of a Parquet file, or of some of its row groups, as one partition."""
    chosen = [list(groups)] if groups else None
    return daft.read_parquet([glob.escape(str(file))], row_groups=chosen)


def _batches(frame: DataFrame) -> Iterator[pa.RecordBatch]:
    return frame.to_arrow_iter(results_buffer_size=_BUFFERED)


def _stay_here() -> None:
    """Compute on this machine. Daft that has no runner yet is told at once: asked which one it has, it loads ray to see
    whether this is one of its workers, which takes every job a second."""
    try:
        daft.set_runner_native()
    except DaftCoreException:  # it has one, for the life of the process
        if daft.get_or_infer_runner_type() != "native":
            raise


def _connect(address: str | None) -> None:
    if importlib.util.find_spec("ray") is None:
        raise InvalidInput(
            "data.engine: ray needs Ray on the preprocess service's machine: pip install 'tidemill[ray]', or say "
            "data.engine: local"
        )
    if address is None:
        raise InvalidInput(
            "data.engine: ray needs a cluster: set TIDEMILL_PREPROCESS_RAY_ADDRESS where the preprocess service runs, "
            "or say data.engine: local"
        )
    import ray

    try:
        if not ray.is_initialized():
            # What a node prints is its own log's; a progress bar on every node would be all there is in the job's.
            environment = {"env_vars": {"DAFT_PROGRESS_BAR": "0"}}
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, runtime_env=environment)
    except (ConnectionError, ValueError) as error:
        raise TransientError(f"the Ray cluster at {address} cannot be reached: {error}") from None
    if daft.get_or_infer_runner_type() != "ray":
        daft.set_runner_ray(address, noop_if_initialized=True)
    # Daft starts what plans its frames with the first one; several threads at once would each start one of their own.
    daft.range(1).to_arrow()

"""Where Daft frames are computed: on this machine, or on a Ray cluster. The frames are the same, and so are the rows.

A process has one engine for its life, as Daft has one runner. Knows nothing of steps.
"""

from __future__ import annotations

import gc
import glob
import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

import daft
import pyarrow as pa
from daft import DataFrame
from daft.exceptions import DaftCoreException

from tidemill.errors import InvalidInput, TransientError

T = TypeVar("T")
R = TypeVar("R")

SHARDS_AT_ONCE = 8
"""Shards whose frames a Ray cluster computes at the same time; each is one partition, so a frame has one node busy."""
_BUFFERED = 2
"""Batches that wait for their writer while the next ones are computed: what bounds memory."""


class Engine:
    """Reads Parquet files as frames and computes frames batch by batch, in the order of the rows."""

    def __init__(self, kind: Literal["local", "ray"] = "local", *, address: str | None = None) -> None:
        """``address``: of the Ray cluster, which has to see the files under the same paths.

        Raises:
            InvalidInput: the cluster is asked for but ray is not installed, or nobody said where it is.
            TransientError: the cluster cannot be reached.
        """
        # Modules live as long as the process: collections of what work makes need not look at them each time, which
        # took a tenth of the search for personal data.
        gc.freeze()
        self._at_once = SHARDS_AT_ONCE if kind == "ray" else 1
        if kind == "ray":
            _connect(address)
        else:
            _stay_here()
        daft.set_execution_config(maintain_order=True, enable_scan_task_split_and_merge=False)

    def read(self, file: Path) -> DataFrame:
        """The rows of a Parquet file, as one partition."""
        return daft.read_parquet(glob.escape(str(file)))

    def batches(self, frame: DataFrame) -> Iterator[pa.RecordBatch]:
        """The rows of ``frame``, computed while the ones before are used."""
        return frame.to_arrow_iter(results_buffer_size=_BUFFERED)

    def each(self, work: Callable[[T], R], shards: Sequence[T]) -> list[R]:
        """``work`` on every shard: in turn on this machine, which one frame keeps busy, side by side on a cluster.

        Not side by side here: Daft 0.7.26 ended the process now and then when two threads computed frames at once.
        """
        if self._at_once == 1 or len(shards) == 1:
            return [work(shard) for shard in shards]
        with ThreadPoolExecutor(self._at_once) as pool:
            return list(pool.map(work, shards))


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

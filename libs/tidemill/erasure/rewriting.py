"""A dataset as it was taken in, without the rows that hold a value: Parquet shards that ingest takes in again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from tidemill.datasets import PartWriter, part_shards
from tidemill.erasure.subject import Matcher
from tidemill.erasure.tables import parquet_batches, rows_with
from tidemill.errors import HandedBack
from tidemill.jobs.report import ProgressReport


def rewrite(
    dataset: Path, matcher: Matcher, output: Path, report: ProgressReport, *, shard_rows: int
) -> tuple[int, dict[str, int]]:
    """Write the rows of ``dataset`` that do not hold the value to ``output``, each part in a folder of its own.

    A shard without such rows stays the file that it is, as long as none before it in its part changed.

    Returns:
        How many rows were left out, and how many each part has now; a part without rows has no folder.

    Raises:
        HandedBack: the worker wants to leave.
    """
    erased, left = 0, {}
    shards = part_shards(dataset)
    total, done = sum(len(part) for part in shards.values()), 0
    for part, files in shards.items():
        whole = _untouched(files, matcher)
        for file in files[:whole]:
            _same_file(file, output / part / file.name)
        rows = sum(batch.num_rows for file in files[:whole] for batch in parquet_batches(file))
        with PartWriter(output, part, shard_rows=shard_rows, first=whole) as writer:
            for file in files[whole:]:
                for batch in parquet_batches(file):
                    held = rows_with(batch, matcher)
                    erased += int(held.sum())
                    writer.write(batch.filter(pa.array(np.logical_not(held))))
                    if report.stop_requested:
                        raise HandedBack("the service is leaving in the middle of rewriting a dataset")
                done += 1
                report.progress(done / total, f"{part}/{file.name}")
            left[part] = rows + writer.rows
    return erased, left


def _untouched(files: list[Path], matcher: Matcher) -> int:
    """How many of the first files hold the value nowhere."""
    for number, file in enumerate(files):
        if any(rows_with(batch, matcher).any() for batch in parquet_batches(file)):
            return number
    return len(files)


def _same_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)

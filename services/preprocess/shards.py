"""The shards of an ingested dataset: which there are, and each as a small dataset of its own."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.preprocess.label_counts import keep_settled, read_label_counts
from services.preprocess.number_samples import keep_samples
from services.preprocess.spec import ShardInfo
from services.preprocess.splits import PARTS
from services.preprocess.work import Work
from tidemill.datasets import part_shards
from tidemill.datasets.schema import SCHEMA_FILE
from tidemill.errors import CorruptArtifact


def list_shards(dataset: Path) -> list[ShardInfo]:
    """The shards in the order that numbers rows: training (or the whole), validation, test, and their numbers.

    Raises:
        CorruptArtifact: there are none, or one cannot be read; names it.
    """
    found = part_shards(dataset)
    if not found:
        raise CorruptArtifact("the ingested dataset has no part")
    shards = []
    for part in ("data", *PARTS):
        first = 1
        for path in found.get(part, []):
            rows = _rows(path)
            shards.append(ShardInfo(part=part, number=int(path.stem), first=first, rows=rows))
            first += rows
    return shards


def single_shards(dataset: Path, shards: list[ShardInfo], output: Path) -> None:
    """Link each shard with what describes it into ``output/shard-<name>``, and that alone into ``output/schema``: what
    a job reads then stays the same when shards are appended."""
    for shard in shards:
        own = Work(output / f"shard-{shard.name}")
        own.take_file(dataset / shard.file, shard.file)
        _describe(dataset, own.root)
    _describe(dataset, output / "schema")


def _describe(dataset: Path, folder: Path) -> None:
    Work(folder).take_file(dataset / SCHEMA_FILE, SCHEMA_FILE)
    counts = read_label_counts(dataset)
    if counts is not None:
        keep_settled(counts, folder)
    keep_samples(dataset, folder)


def _rows(path: Path) -> int:
    try:
        return int(pq.ParquetFile(path).metadata.num_rows)
    except (OSError, pa.ArrowException) as error:
        raise CorruptArtifact(f"the dataset's {path.parent.name}/{path.name} cannot be read: {error}") from None

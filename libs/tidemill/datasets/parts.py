"""Where the rows of a dataset's parts are, and reading them whole. Large parts are read shard by shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.errors import CorruptArtifact

PARTS = ("train", "validation", "test")
"""The parts of a dataset that is cut, in their order."""
WHOLE = "data"
"""The one part of a dataset that is not."""


def part_shards(dataset: Path) -> dict[str, list[Path]]:
    """The Parquet shards of each part that is there, parts and shards in their order."""
    found = {part: sorted((dataset / part).glob("*.parquet")) for part in (WHOLE, *PARTS)}
    return {part: shards for part, shards in found.items() if shards}


def read_part(dataset: Path, part: str, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of a part. Raises CorruptArtifact naming the shard that is missing or broken."""
    shards = part_shards(dataset).get(part)
    if not shards:
        raise CorruptArtifact(f"the dataset has no part {part!r}")
    tables = []
    for shard in shards:
        try:
            tables.append(pq.read_table(shard, columns=list(columns) if columns is not None else None))
        except (OSError, pa.ArrowException, KeyError) as error:
            raise CorruptArtifact(f"the dataset's {part}/{shard.name} cannot be read: {error}") from None
    return pa.concat_tables(tables)

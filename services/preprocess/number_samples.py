"""The first values of those columns of an ingested dataset that are mostly whole numbers: they tell whether a column of
numbers holds personal data.

They are the same for every shard, and however many rows are appended. They are raw, as the shards beside them are.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.preprocess.privacy.numbers import SHARE, NumberSample, as_written
from services.preprocess.work import read_json, write_json
from tidemill.datasets import DatasetSchema, part_shards
from tidemill.errors import CorruptArtifact

_FILE = "number_samples.json"
_VALUES = 1_000
_ROWS = 10_000
"""Rows that are looked through for them."""
_OTHERS = frozenset(("image", "audio", "nested", "boolean", "date", "empty"))

NumberSamples = Mapping[str, NumberSample]


def read_number_samples(dataset: Path) -> NumberSamples:
    """Samples by column: those that ``keep_samples`` left, or of the dataset's first shard.

    Raises:
        CorruptArtifact: the shard cannot be read.
    """
    if (dataset / _FILE).exists():
        return {name: NumberSample(**sample) for name, sample in read_json(dataset / _FILE).items()}
    shards = part_shards(dataset)
    first = next((shards[part][0] for part in ("data", "train", "validation", "test") if shards.get(part)), None)
    if first is None:
        return {}
    names = [column.name for column in DatasetSchema.read(dataset).columns if column.kind not in _OTHERS]
    try:
        with pq.ParquetFile(first) as file:
            batches = list(islice(file.iter_batches(_ROWS, columns=names), 1))
    except (OSError, pa.ArrowException) as error:
        raise CorruptArtifact(f"the dataset's {first.parent.name}/{first.name} cannot be read: {error}") from None
    samples = {name: _sample(batch.column(name)) for batch in batches for name in names}
    return {name: one for name, one in samples.items() if len(one.numbers) > SHARE * one.present}


def keep_samples(dataset: Path, folder: Path) -> None:
    """Leave in ``folder`` the samples of ``dataset``; nothing when no column has any."""
    samples = read_number_samples(dataset)
    if samples:
        write_json(folder / _FILE, {
            name: {"present": one.present, "numbers": list(one.numbers)} for name, one in samples.items()
        })  # fmt: skip


def _sample(column: pa.Array) -> NumberSample:
    present = column.drop_null().slice(0, _VALUES)
    return NumberSample(len(present), as_written(present).drop_null().to_pylist())

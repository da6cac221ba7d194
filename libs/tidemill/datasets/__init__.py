"""The dataset artifact: parts of Parquet shards with a schema. Ingest and preprocess write it, trainers read it.

    schema.json               DatasetSchema: task, roles of columns, names and types
    profile.json              DatasetProfile: figures of the columns; of an ingested dataset
    <part>/00000.parquet …    rows in their order, at most ``shard_rows`` in a shard

``part`` is ``data`` for a dataset that is not cut yet, else ``train``, ``validation``, ``test``. Knows files and
Arrow; nothing of stages, stores or tasks.
"""

from tidemill.datasets.parts import PARTS, part_shards, read_part
from tidemill.datasets.schema import Column, DatasetSchema
from tidemill.datasets.writing import PartWriter

__all__ = ["PARTS", "Column", "DatasetSchema", "PartWriter", "part_shards", "read_part"]

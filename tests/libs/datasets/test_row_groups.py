"""How rows come in batches does not show in the shards, and large values do not pile up."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.datasets import PartWriter, writing


def written(folder: Path, rows: pa.RecordBatch, step: int, shard_rows: int) -> list[bytes]:
    with PartWriter(folder, "data", shard_rows=shard_rows) as writer:
        for start in range(0, rows.num_rows, step):
            writer.write(rows.slice(start, step))
    assert writer.rows == rows.num_rows
    return [path.read_bytes() for path in sorted((folder / "data").glob("*.parquet"))]


def test_row_groups_end_where_their_images_are_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "ROW_GROUP_BYTES", 1_000)
    sizes = [300, 300, 300, 200, 5_000, 0, 999, 1, 10, None]
    images = [None if size is None else bytes(size) for size in sizes]
    rows = pa.record_batch({"n": pa.array(range(10)), "image": pa.array(images, pa.binary())})
    shards = [written(tmp_path / str(step), rows, step, 8) for step in (1, 3, 10)]
    assert shards[0] == shards[1] == shards[2]
    files = [pq.ParquetFile(path) for path in sorted((tmp_path / "3" / "data").glob("*.parquet"))]
    groups = [[file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] for file in files]
    assert groups == [[4, 1, 3], [2]]
    assert pa.concat_tables([file.read() for file in files])["n"].to_pylist() == list(range(10))


def test_texts_make_row_groups_of_the_usual_size(tmp_path: Path) -> None:
    rows = pa.record_batch({"text": pa.array(["x" * 20] * 70_000)})
    assert written(tmp_path / "a", rows, 70_000, 100_000) == written(tmp_path / "b", rows, 999, 100_000)
    metadata = pq.ParquetFile(tmp_path / "a" / "data" / "00000.parquet").metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [1 << 16, 70_000 - (1 << 16)]


def test_a_shard_ends_where_its_values_are_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "ROW_GROUP_BYTES", 100)
    monkeypatch.setattr(writing, "SHARD_BYTES", 250)
    rows = pa.record_batch({"text": pa.array(["字" * 20] * 7)})  # 60 bytes each
    shards = [written(tmp_path / str(step), rows, step, 1000) for step in (1, 2, 7)]
    assert shards[0] == shards[1] == shards[2]
    counts = [pq.ParquetFile(path).metadata.num_rows for path in sorted((tmp_path / "2" / "data").glob("*.parquet"))]
    assert counts == [6, 1]

"""The table that preprocessing works on, read from an ingested dataset and written as parts of a prepared one.

Columns: ``part`` (string: ``data``, or the given ``train``, ``validation``, ``test``), ``row`` (int64: number of the
row in its file from 1, the header not counted), ``text`` and ``label`` (strings, never null).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SOURCE_PART_KEY = b"tidemill.source_part"
"""Parquet metadata of a prepared part: the part of the ingested dataset that its ``row`` numbers count in."""


def read_examples(dataset: Path, *, text: str, label: str) -> pa.Table:
    """All examples of the ingested dataset in the directory ``dataset``; missing values are empty strings."""
    tables = []
    for part in ("data", "train", "validation", "test"):
        file = dataset / f"{part}.parquet"
        if not file.exists():
            continue
        columns = pq.read_table(file, columns=[text, label])
        rows = columns.num_rows
        tables.append(
            pa.table(
                {
                    "part": pa.array([part]).take(pa.array(np.zeros(rows, dtype=np.int64))),
                    "row": pa.array(np.arange(1, rows + 1, dtype=np.int64)),
                    "text": _strings(columns[text]),
                    "label": _strings(columns[label]),
                }
            )
        )
    return pa.concat_tables(tables).combine_chunks()


def write_part(examples: pa.Table, target: Path, *, source_part: str) -> None:
    """Write ``text``, ``label`` and ``row`` of ``examples`` in the order of their rows."""
    ordered = examples.select(["text", "label", "row"]).sort_by("row")
    pq.write_table(ordered.replace_schema_metadata({SOURCE_PART_KEY: source_part}), target, compression="zstd")


def select(examples: pa.Table, keep: npt.NDArray[np.bool_]) -> pa.Table:
    """The examples where ``keep`` is true."""
    return examples.filter(pa.array(keep))


def codes(*columns: Sequence[str] | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """A number for each row, the same for two rows exactly when they agree in all ``columns`` (of equal length)."""
    combined: npt.NDArray[np.int64] | None = None
    for column in columns:
        array = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([pa.array(column, pa.string())])
        encoded = array.combine_chunks().dictionary_encode()
        numbers = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        if combined is None:
            combined = numbers
        else:
            # Renumbering after each column keeps the product far from the range of int64.
            _, combined = np.unique(combined * len(encoded.dictionary) + numbers, return_inverse=True)
    assert combined is not None, "codes of no columns"
    return combined


def _strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column.cast(pa.string()), "")

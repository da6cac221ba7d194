"""Pickles planted in datasets, in every place where a reader of such files could unpickle: none is loaded."""

from __future__ import annotations

import contextlib
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.security.canary import Canary
from tidemill.errors import InvalidInput, TidemillError

ROWS = b"text,label\n" + b"".join(b"word %d,%s\n" % (n, b"ab"[n % 2 : n % 2 + 1]) for n in range(20))


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def object_array(canary: Canary) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([canary, canary], dtype=object), allow_pickle=True)
    return out.getvalue()


def joblib_file(canary: Canary) -> bytes:
    import joblib

    out = io.BytesIO()
    joblib.dump(canary, out)
    return out.getvalue()


def torch_file(canary: Canary) -> bytes:
    import torch

    out = io.BytesIO()
    torch.save({"weights": canary}, out)
    return out.getvalue()


Plant = Callable[[Canary], dict[str, bytes]]
FILES: dict[str, Plant] = {
    **{f"a pickle, protocol {n}": lambda c, n=n: {"data.csv": c.pickled(n)} for n in range(6)},  # type: ignore[misc]
    "a pickle by its name": lambda c: {"data.pkl": c.pickled()},
    "a pickled frame beside a table": lambda c: {"data.csv": ROWS, "frame.pkl": c.pickled()},
    "joblib": lambda c: {"data.joblib": joblib_file(c)},
    "torch": lambda c: {"data.pt": torch_file(c)},
    "an array of objects": lambda c: {"data.npy": object_array(c)},
    "objects in npz": lambda c: {"data.npz": zipped({"text.npy": object_array(c), "label.npy": object_array(c)})},
    "a pickle in npz": lambda c: {"data.npz": zipped({"text.npy": c.pickled(), "label.npy": c.pickled()})},
    "a pickle in zip": lambda c: {"data.zip": zipped({"data.csv": ROWS, "model.pkl": c.pickled()})},
    "a pickle named csv in tar": lambda c: {"data.tar.gz": tarred({"train/a.csv": c.pickled(), "test/b.csv": ROWS})},
}


@pytest.mark.parametrize("plant", FILES.values(), ids=FILES)
def test_files_that_hold_pickles(
    ingest_files: Any, canary: Canary, plant: Callable[[Canary], dict[str, bytes]]
) -> None:
    with contextlib.suppress(TidemillError):  # refused, or the pickle is passed over: both are fine, loading is not
        ingest_files(plant(canary))


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def extension(name: str, canary: Canary) -> pa.Table:
    """Columns of an extension type whose metadata, and whose values, are pickles."""
    metadata = {"ARROW:extension:name": name.encode(), "ARROW:extension:metadata": canary.pickled()}
    fields = [
        pa.field("text", pa.binary(), metadata=metadata),  # type: ignore[arg-type]
        pa.field("label", pa.string()),
    ]
    return pa.table(
        [pa.array([canary.pickled()] * 20, pa.binary()), pa.array(list("ab") * 10)], schema=pa.schema(fields)
    )


@pytest.mark.parametrize(
    "name", ["arrow.py_extension_type", "daft.super_extension", "daft.python", "ray.data.arrow_pickled_object"]
)
def test_extension_types_that_carry_pickles(ingest_files: Any, canary: Canary, name: str) -> None:
    """PyArrow, Daft and Ray each have, or had, a type that unpickles its metadata or its values."""
    with contextlib.suppress(TidemillError):
        ingest_files({"data.parquet": parquet(extension(name, canary))})
    out = io.BytesIO()
    table = extension(name, canary)
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    with contextlib.suppress(TidemillError):
        ingest_files({"data.arrow": out.getvalue()})


def test_pandas_metadata_that_names_pickled_columns(ingest_files: Any, canary: Canary) -> None:
    table = pa.table({"text": [f"w {n}" for n in range(20)], "label": list("ab") * 10})
    table = table.replace_schema_metadata({b"pandas": canary.pickled(), b"huggingface": canary.pickled()})
    assert ingest_files({"data.parquet": parquet(table)}).result.parts == {"data": 20}


def test_the_engine_reads_no_pickles(canary: Canary, tmp_path: Path) -> None:
    """Daft, which preprocess reads shards with, beside what ingest leaves out."""
    import daft

    for name in ("arrow.py_extension_type", "daft.super_extension", "daft.python"):
        path = tmp_path / f"{name}.parquet"
        path.write_bytes(parquet(extension(name, canary)))
        with contextlib.suppress(Exception):
            daft.read_parquet(str(path)).collect().to_arrow()


def test_a_planted_array_among_the_files_of_a_step_is_not_unpickled(canary: Canary, tmp_path: Path) -> None:
    (tmp_path / "removed.npy").write_bytes(object_array(canary))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        np.load(tmp_path / "removed.npy")


def test_a_pickle_as_a_table_is_named(ingest_files: Any, canary: Canary) -> None:
    with pytest.raises(InvalidInput, match="reading a pickle runs whatever is in it"):
        ingest_files({"data.csv": canary.pickled()})
    assert pickle.HIGHEST_PROTOCOL >= 5

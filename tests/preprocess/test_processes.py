"""A large dataset is prepared in several processes, with the same bytes as in one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.preprocess.conftest import contents, write_ingested
from tests.preprocess.test_shards import TEXT
from tidemill.datasets.writing import ROW_GROUP

REPOSITORY = Path(__file__).resolve().parents[2]
ROWS = 2 * ROW_GROUP + 70_000
RECIPE: dict[str, Any] = {
    "data": {**TEXT, "near_duplicates": None, "balance": {"method": "oversample"}, "augment": {"text": {"copies": 1}}},
}


def rows() -> pa.Table:
    """Texts of which one in ten occurred before, one in four holds an address, and one in nine has to be normalised."""
    numbers = [number if number % 10 else number // 2 for number in range(ROWS)]
    address = [f"write to a{number % 977}@b.org" if number % 4 == 0 else "do not write" for number in numbers]
    spaces = ["  " if number % 9 == 0 else " " for number in numbers]
    texts = [f"text{space}{number}, {say}" for number, say, space in zip(numbers, address, spaces, strict=True)]
    return pa.table({"body": texts, "kind": [("yes", "no", "maybe", "yes")[number % 4] for number in numbers]})


def prepare(folder: Path, processes: int, *also: str) -> subprocess.CompletedProcess[str]:
    shutil.rmtree(folder / "output", ignore_errors=True)
    command = [sys.executable, "-m", "tests.preprocess.in_processes", str(folder), str(processes), *also]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)


def prepared(folder: Path, processes: int, *also: str) -> tuple[dict[str, bytes], str]:
    """Every file of the prepared dataset, and what was printed."""
    done = prepare(folder, processes, *also)
    assert done.returncode == 0, done.stderr[-4000:]
    return contents(folder / "output" / "dataset"), done.stderr


@pytest.mark.parametrize(("shard_rows", "frame"), [(10_000_000, 2), (130_000, 1)])
def test_processes_leave_the_same_bytes(tmp_path: Path, shard_rows: int, frame: int) -> None:
    (tmp_path / "key").write_text("a key of thirty-two characters..")
    privacy = {"detect": ["email"], "treatment": "hash", "key": f"file:{tmp_path / 'key'}"}
    (tmp_path / "recipe.json").write_text(json.dumps({**RECIPE, "privacy": privacy}), encoding="utf-8")
    write_ingested(tmp_path / "ingested", {"data": rows()}, "text-classification", TEXT, shard_rows=shard_rows)
    alone, _ = prepared(tmp_path, 1)
    assert len(alone) > 6
    together, _ = prepared(tmp_path, 4)
    assert together == alone
    again, said = prepared(tmp_path, 2, str(tmp_path / "flag"), str(frame))
    assert again == alone
    assert "was ended by SIGSEGV and is worked once more" in said


def test_a_row_that_is_refused_has_its_number(tmp_path: Path) -> None:
    table = rows()
    where = ROW_GROUP + 5
    dates = ["2024-02-29"] * where + ["2023-02-29"] + ["2024-02-29"] * (ROWS - where - 1)
    table = table.append_column("day", pa.array(dates))
    data = {**TEXT, "types": {"columns": {"day": "date"}, "on_bad_value": "fail"}}
    (tmp_path / "recipe.json").write_text(json.dumps({"data": data}), encoding="utf-8")
    write_ingested(tmp_path / "ingested", {"data": table}, "text-classification", TEXT)
    assert f"row {where + 1}: " in prepare(tmp_path, 4).stderr.splitlines()[-1]

"""Memory does not grow with the file: measured in processes of their own, on files three times as large.

The smaller one is past what allocators keep.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

_MEASURE = """
import json, re, sys
from pathlib import Path
from services.ingest.opening import open_parts
from services.ingest.tables import Limits
from tests.ingest.reading import Refusing
from tidemill.contracts.data import Data
rows = 0
for table in open_parts(Path(sys.argv[1]), Data(format=sys.argv[2]), Limits(1_000_000))["data"]:
    for batch in table.batches(Refusing()):
        rows += batch.rows.num_rows
# Not ru_maxrss, which begins with what the parent had when it forked.
peak = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]
print(json.dumps([rows, int(peak) / 1024]))
"""
_ROOT = Path(__file__).resolve().parents[3]
_TEXT = "这个手机很好用 the phone is good and delivery was quick " * 2
_FEW, _MANY = 500_000, 1_500_000


def write(folder: Path, format: str, rows: int) -> None:
    folder.mkdir()
    if format == "parquet":
        # One row group, so that the reader cannot lean on small ones.
        table = pa.table({"id": list(range(rows)), "text": [f"{_TEXT}{number}" for number in range(rows)]})
        pq.write_table(table, folder / "x.parquet", row_group_size=rows, compression="none", use_dictionary=False)
        return
    if format == "arrow":
        schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
        with pa.OSFile(str(folder / "x.arrow"), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for start in range(0, rows, 50_000):
                ids = list(range(start, start + 50_000))
                writer.write_batch(pa.record_batch([ids, [f"{_TEXT}{number}" for number in ids]], schema=schema))
        return
    line = {
        "csv": lambda number: f"{number},{_TEXT}{number}\n",
        "tsv": lambda number: f"{number}\t{_TEXT}{number}\n",
        "jsonl": lambda number: json.dumps({"id": number, "text": f"{_TEXT}{number}"}) + "\n",
        "json": lambda number: ("[" if not number else ",\n") + json.dumps({"id": number, "text": f"{_TEXT}{number}"}),
        "lines": lambda number: f"{_TEXT}{number}\n",
    }[format]
    suffix = "txt" if format == "lines" else format
    with (folder / f"x.{suffix}").open("w", encoding="utf-8") as file:
        file.writelines(line(number) for number in range(rows))
        file.write("]" if format == "json" else "")


@pytest.mark.full
@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "json", "lines", "parquet", "arrow"])
def test_memory_stays_flat_as_the_file_grows(tmp_path: Path, format: str) -> None:
    peaks = []
    for rows in (_FEW, _MANY):
        write(tmp_path / str(rows), format, rows)
        command = [sys.executable, "-c", _MEASURE, str(tmp_path / str(rows)), format]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT)
        read, peak = json.loads(done.stdout)
        assert read == rows
        peaks.append(peak)
    print(format, [round(peak) for peak in peaks])
    assert peaks[1] < peaks[0] + 60, peaks

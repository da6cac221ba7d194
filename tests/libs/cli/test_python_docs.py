"""The sample: real, large enough, balanced, the same every time."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tidemill.cli.python_docs import AREAS, examples


def test_it_is_large_and_balanced_and_without_repetition() -> None:
    found = examples()
    counts = Counter(example.label for example in found)
    assert len(found) >= 2500
    assert set(counts) == set(AREAS)
    assert max(counts.values()) <= 3 * min(counts.values())
    assert len({example.text for example in found}) == len(found)
    assert all(20 <= len(example.text) <= 400 for example in found)


def test_a_part_of_it_is_mixed() -> None:
    assert len({example.label for example in examples(80)}) >= 7


def test_every_process_writes_the_same_bytes_and_imports_nothing_odd(tmp_path: Path) -> None:
    # Two processes of their own: in this one, another test's libraries may have patched the standard library.
    code = (
        "import sys; from pathlib import Path; from tidemill.cli.python_docs import examples, write_csv\n"
        "write_csv(examples(), Path(sys.argv[1])); print(sorted({'this', 'antigravity', 'tkinter'} & set(sys.modules)))"
    )
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    for seed, path in (("1", here), ("2", there)):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code, str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
    assert there.read_bytes() == here.read_bytes()
    with there.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() == {"text", "label"}

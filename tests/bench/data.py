"""Read, clean, deduplicate, mask and write: Tidemill beside pandas and polars on the same rows, in the same run.

Each is a process of its own; they take turns, and the order turns with every round, so that what else the machine does
meets all of them. All of these find personal data with Tidemill's own recognisers, since pandas and polars have none;
a pandas program that takes them from Presidio, as one does who has no Tidemill, gets fewer rows in the same run. Then
Tidemill alone with four times the rows, for its memory. `make bench-data`, or with `REPEAT=1 ROWS=200000` for a first
look. Fails when the outcomes differ; targets that are missed are said.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.data_peers import LOOKED_FOR, PEERS
from tests.bench.data_rows import write_rows
from tests.bench.environments import SCRIPTS, Missing, environment

MB = 2**20
SEED = 11
OURS = "tidemill"
AGAINST = {"pandas": 5.0, "polars": 1 / 2.5}
"""How many times the rows a second of each the target is; of pandas its faster variant with the same recognisers."""
PRESIDIO = ["presidio-analyzer==2.2.366", "pandas>=3.0", "pyarrow>=20"]
PRESIDIO_ROWS = 10_000
"""It takes milliseconds a row."""
MORE, MOST_MEMORY = 4, 1.5
SAMPLE_EVERY = 0.02


@dataclass(frozen=True)
class Turn:
    """One preparation. ``seconds`` of the clock and ``cpu`` of all cores are without imports; ``peak``: resident bytes
    of the process and its children."""

    seconds: float
    cpu: float
    peak: int
    outcome: dict[str, int]


def main(rows: int, repeat: int, environments: Path) -> bool:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{rows:,} rows, {repeat} turns each, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
        write_rows(folder / "rows", rows, SEED)
        turns: dict[str, list[Turn]] = {who: [] for who in PEERS}
        names = list(PEERS)
        for number in range(repeat):
            for who in [*names[number % len(names) :], *names[: number % len(names)]]:
                turns[who].append(take_turn(who, folder / "rows", folder / "out"))
                print(f"  {who:16} {turns[who][-1].seconds:7.1f} s", flush=True)
        same = report_outcomes(turns)
        fast = report_speed(turns, rows)
        report_presidio(folder / "rows", folder / "out", environments, statistics.median(ours(turns)) / rows)
        shutil.rmtree(folder / "rows")
        write_rows(folder / "more", MORE * rows, SEED)
        more = take_turn(OURS, folder / "more", folder / "out")
    flat = report_memory(max(turn.peak for turn in turns[OURS]), more, rows)
    if not (fast and flat):
        print("\nnot every target is met")
    return same


def take_turn(who: str, dataset: Path, folder: Path) -> Turn:
    """Prepare the dataset in a new process; what it left is counted and removed."""
    command = [sys.executable, "-m", "tests.bench.data_peers", who, str(dataset), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        peak = 0
        while child.poll() is None:
            peak = max(peak, resident(child.pid))
            time.sleep(SAMPLE_EVERY)
        said = child.stdout.read() if child.stdout else b""
    if child.returncode:
        raise SystemExit(f"{who} failed with {child.returncode}")
    shutil.rmtree(folder)
    figures = json.loads(said.splitlines()[-1])
    return Turn(figures["seconds"], figures["cpu"], max(peak, figures["peak"]), figures["outcome"])


def resident(pid: int) -> int:
    """Resident bytes of the process and its children now."""
    total = 0
    try:
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_info().rss
    except psutil.Error:
        pass
    return total


def report_outcomes(turns: dict[str, list[Turn]]) -> bool:
    """Print what came out of each; True when it is the same of all, in all turns."""
    print(f"\n{'':16} {'rows':>10} " + " ".join(f"{name:>13}" for name in LOOKED_FOR))
    for who, own in turns.items():
        counts = own[0].outcome
        print(f"{who:16} {counts['rows']:10,} " + " ".join(f"{counts[name]:13,}" for name in LOOKED_FOR))
    same = all(turn.outcome == turns[OURS][0].outcome for own in turns.values() for turn in own)
    print("the outcomes are the same" if same else "THE OUTCOMES DIFFER")
    return same


def report_speed(turns: dict[str, list[Turn]], rows: int) -> bool:
    """Print rows a second, CPU seconds and memory of each; True when the targets are met."""
    median = {who: statistics.median(turn.seconds for turn in own) for who, own in turns.items()}
    print(f"\n{'':16} {'rows/s':>10} {'seconds (all turns)':>26} {'CPU s':>7} {'peak MB':>8} {'Tidemill is':>12}")
    for who, own in turns.items():
        seconds = ", ".join(f"{turn.seconds:.1f}" for turn in own)
        cpu, peak = statistics.median(turn.cpu for turn in own), max(turn.peak for turn in own)
        times = f"{median[who] / median[OURS]:.2f} times" if who != OURS else ""
        print(f"{who:16} {rows / median[who]:10,.0f} {seconds:>26} {cpu:7.1f} {peak / MB:8,.0f} {times:>12}")
    met = True
    for who, wanted in AGAINST.items():
        fastest = min((name for name in median if name.startswith(who)), key=median.__getitem__)
        ratio = median[fastest] / median[OURS]
        met &= ratio >= wanted
        verdict = "met" if ratio >= wanted else "MISSED"
        print(f"rows a second against {fastest}: {ratio:.2f} times; target {wanted:.2f}: {verdict}")
    return met


def ours(turns: dict[str, list[Turn]]) -> list[float]:
    """Seconds of all our turns."""
    return [turn.seconds for turn in turns[OURS]]


def report_presidio(dataset: Path, folder: Path, environments: Path, seconds_a_row: float) -> None:
    """Print how fast pandas with Presidio's recognisers prepares the first rows, or why it does not."""
    try:
        binaries = environment(environments, "pandas-presidio", PRESIDIO)
    except Missing as reason:
        print(f"pandas with Presidio's recognisers is left out: {reason}")
        return
    script = SCRIPTS / "pandas_presidio.py"
    command = [str(binaries / "python"), str(script), str(dataset), str(folder), str(PRESIDIO_ROWS)]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    figures = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environ).stdout)
    shutil.rmtree(folder)
    theirs = figures["seconds"] / figures["rows"]
    print(
        f"pandas with Presidio's recognisers, the first {figures['rows']:,} rows: {1 / theirs:,.0f} rows/s; "
        f"Tidemill is {theirs / seconds_a_row:,.0f} times"
    )


def report_memory(peak: int, more: Turn, rows: int) -> bool:
    """Print how memory grows with the rows; True when the target is met."""
    ratio = more.peak / peak
    print(
        f"\npeak memory: {peak / MB:,.0f} MB at {rows:,} rows, {more.peak / MB:,.0f} MB at {MORE * rows:,} "
        f"({more.seconds:.1f} s): {ratio:.2f} times; target at most {MOST_MEMORY}: "
        f"{'met' if ratio <= MOST_MEMORY else 'MISSED'}"
    )
    return ratio <= MOST_MEMORY


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--environments", type=Path, default=Path(".tidemill/bench"))
    given = parser.parse_args()
    sys.exit(0 if main(given.rows, given.repeat, given.environments.absolute()) else 1)

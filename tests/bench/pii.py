"""Personal data: what is found in labelled texts beside Presidio's pattern recognisers, and rows a second of masking.

Texts are those of presidio-research's three generated sets. A label counts as found when a finding of its kind shares
a character with it, and a finding as right when it shares one with a label of its kind (overlap matching, as
presidio-evaluator does it at a threshold above 0). Presidio has an environment of its own below ``.tidemill/bench``;
its recognisers are called directly, without a language model, in the same run on the same rows. `make bench-pii`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import daft
import pyarrow as pa
import pyarrow.parquet as pq

from services.preprocess.privacy import find, privacy_steps
from tests.bench.environments import SCRIPTS, Missing, environment
from tidemill.contracts.privacy import STRUCTURAL, Privacy
from tidemill.datasets import Column, DatasetSchema

PRESIDIO = ["presidio-analyzer==2.2.366"]
SETS = ("generated_large", "generated_small", "synth_dataset_v2")
KINDS = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "payment_card", "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip_address", "US_SSN": "us_ssn",
}  # fmt: skip
REQUIRED = dict.fromkeys(KINDS.values(), 0.95) | {"phone": 0.85}
TURNS = 3
ROWS = 1_000_000

Span = tuple[int, int, int, str]
"""Row, first character, the one behind the last, kind."""


@dataclass(frozen=True)
class Scores:
    """Of one contender: recall and precision by kind, and the seconds that it took."""

    recall: dict[str, float]
    precision: dict[str, float]
    seconds: float


def main(data: Path, environments: Path, rows: int) -> int:
    texts, labels = labelled(data / "pii_presidio_synth")
    ours = scores(labels, *tidemill(texts))
    try:
        theirs: Scores | str = scores(labels, *presidio(texts, environments))
    except Missing as reason:
        theirs = str(reason)
    report(texts, labels, ours, theirs)
    masking(rows)
    missed = [kind for kind, least in REQUIRED.items() if min(ours.recall[kind], ours.precision[kind]) < least]
    print(f"target: recall and precision 0.95, phone 0.85: {'NOT met: ' + ', '.join(missed) if missed else 'met'}")
    return bool(missed)


def labelled(folder: Path) -> tuple[list[str], list[Span]]:
    rows = [row for name in SETS for row in json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))]
    labels = [
        (at, span["start_position"], span["end_position"], KINDS[span["entity_type"]])
        for at, row in enumerate(rows)
        for span in row["spans"]
        if span["entity_type"] in KINDS
    ]
    return [row["full_text"] for row in rows], labels


def tidemill(texts: Sequence[str]) -> tuple[list[Span], float]:
    """All kinds are looked for, also those that the texts do not have; the best of three turns after a warm one."""
    array, seconds = pa.array(texts), []
    for _ in range(TURNS + 1):
        begun = time.perf_counter()
        found = find(array, STRUCTURAL, ["US", "GB", "CN", "DE"])
        seconds.append(time.perf_counter() - begun)
    spans = list(zip(found.rows.tolist(), found.starts, found.ends, found.entities, strict=True))
    return [span for span in spans if span[3] in REQUIRED], min(seconds[1:])


def presidio(texts: Sequence[str], environments: Path) -> tuple[list[Span], float]:
    binaries = environment(environments, "presidio", PRESIDIO)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(texts), encoding="utf-8")
        command = [str(binaries / "python"), str(SCRIPTS / "presidio_patterns.py"), str(file)]
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, env=environ)
    if done.returncode:
        raise Missing(f"presidio ended: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}")
    answer = json.loads(done.stdout)
    return [(row, start, end, KINDS[kind]) for row, start, end, kind in answer["found"] if kind in KINDS], answer[
        "seconds"
    ]


def scores(labels: Sequence[Span], found: Sequence[Span], seconds: float) -> Scores:
    return Scores(recall=_shares(labels, found), precision=_shares(found, labels), seconds=seconds)


def _shares(spans: Sequence[Span], others: Sequence[Span]) -> dict[str, float]:
    """By kind, the share of the spans that one of the others overlaps."""
    by_place: dict[tuple[int, str], list[Span]] = {}
    for other in others:
        by_place.setdefault((other[0], other[3]), []).append(other)
    hit = Counter(
        kind
        for row, start, end, kind in spans
        if any(start < other[2] and other[1] < end for other in by_place.get((row, kind), ()))
    )
    total = Counter(span[3] for span in spans)
    return {kind: hit[kind] / total[kind] if total[kind] else 0.0 for kind in REQUIRED}


def report(texts: Sequence[str], labels: Sequence[Span], ours: Scores, theirs: Scores | str) -> None:
    total = Counter(label[3] for label in labels)
    print(f"{len(texts):,} texts {'':14} Tidemill           Presidio's patterns")
    print(f"{'kind':14} {'labels':>7}   recall  precision   recall  precision")
    for kind in REQUIRED:
        line = f"{kind:14} {total[kind]:7}   {ours.recall[kind]:6.3f}  {ours.precision[kind]:9.3f}"
        if isinstance(theirs, Scores):
            line += f"   {theirs.recall[kind]:6.3f}  {theirs.precision[kind]:9.3f}"
        print(line)
    print(f"{'seconds':22}   {ours.seconds:17.3f}", end="")
    print(f"   {theirs.seconds:17.3f}" if isinstance(theirs, Scores) else f"   left out: {theirs}")


def masking(rows: int) -> None:
    """Short rows, a tenth with an e-mail address and a tenth with a phone number, masked as a fold of expressions."""
    schema = DatasetSchema(task="text-classification", columns=[Column(name="text", kind="text")])
    columns = {"text": schema.columns[0]}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "rows.parquet", Path(folder) / "out"
        pq.write_table(pa.table({"text": [_row(number) for number in range(rows)]}), source)
        plain, masked = [], []
        for _ in range(TURNS):
            begun = time.perf_counter()
            daft.read_parquet(str(source)).write_parquet(str(target), write_mode="overwrite")
            plain.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            frame = daft.read_parquet(str(source))
            for step in privacy_steps(Privacy(detect="structural"), schema, None):
                change = step.change(columns)
                frame = frame.with_columns(
                    {**change.columns, **{f"__{what}": one for what, one in change.counts.items()}}
                )
            frame.write_parquet(str(target), write_mode="overwrite")
            masked.append(time.perf_counter() - begun)
    beyond = min(masked) - min(plain)
    print(f"masking {rows:,} rows: {min(masked):.2f} s, {beyond:.2f} s beyond reading and writing "
          f"({rows / min(masked):,.0f} rows/s); load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")  # fmt: skip


def _row(number: int) -> str:
    if number % 10 == 0:
        return f"please call me at 415-555-{number % 10000:04d} when the parcel {number} is there"
    if number % 10 == 1:
        return f"the invoice goes to anna.smith{number}@mail{number % 97}.com, thank you very much"
    return f"what is the weather going to be like in town number {number % 1000} tomorrow"


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = os.environ.get("TIDEMILL_TEST_DATA") or root.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="folder of real datasets")
    parser.add_argument(
        "--environments", type=Path, default=Path(".tidemill/bench"), help="where Presidio is installed"
    )
    parser.add_argument("--rows", type=int, default=ROWS, help="rows that are masked")
    given = parser.parse_args()
    sys.exit(main(Path(given.data), given.environments.absolute(), given.rows))

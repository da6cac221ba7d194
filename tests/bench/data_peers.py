"""The work of `make bench-data`, in a process of its own: `python -m tests.bench.data_peers <who> <dataset> <folder>`.

All read, normalise, drop empty rows, mask, drop contradictions and exact duplicates, and write Parquet; the same rows
have to be left, with as many values masked. ``tidemill`` prepares the dataset as one job of the preprocess service, in
as many processes as the service takes: it also groups what differs in case alone, cuts the rows into parts, keeps the
number of every row, counts what each step did and writes figures of labels and words. Near duplicates, which none of
the others knows, are off; ``tidemill-near`` is the same job with them, as recipes have it by default. What is personal
data is said by the same recognisers, a text at a time, as one calls Python from these libraries:

``pandas``           maps the functions over the columns
``pandas-filtered``  the same over the texts alone that regular expressions (of Arrow, here) let through
``polars``           the same, in one lazy query

Pandas has no expression for the Unicode form, so that normalising is a function there.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.preprocess.privacy.entities import SPECIFICITY, structural
from services.preprocess.privacy.findings import SURE, narrow
from services.preprocess.privacy.overlaps import Found, resolved
from services.preprocess.privacy.treatment import mask
from tidemill.contracts import parse_recipe
from tidemill.contracts.privacy import EntityName
from tidemill.texts import normalize

LOOKED_FOR: tuple[EntityName, ...] = ("email", "phone", "payment_card", "ip_address")
REGIONS = ("US", "GB", "CN", "DE")
ENTITIES = structural(LOOKED_FOR, REGIONS)
CUE = "|".join(f"(?:{entity.cue})" for entity in ENTITIES)
ODD = r"[^\x20-\x7e]|^ | $|  "
"""Finds the texts that normalising may change."""
UNWANTED = r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff]+"


def masked(text: str) -> str:
    """``text`` with ``<EMAIL>`` and so on in the place of personal data."""
    plain = narrow(text)
    found: list[Found] = []
    taken: set[tuple[int, int]] = set()
    for entity in ENTITIES:
        rank = SPECIFICITY.index(entity.name)
        for match in entity.pattern.finditer(plain):
            if entity.yields and match.span() in taken:
                continue
            if (span := entity.check(match)) is not None:
                found.append((0, *span, rank))
                if span[2] >= SURE:
                    taken.add(span[:2])
    for _, start, end, _, rank in reversed(resolved(found)):
        text = text[:start] + mask(SPECIFICITY[rank]) + text[end:]
    return text


def with_pandas(dataset: Path, folder: Path, *, filtered: bool = False) -> None:
    """The column functions of pandas, and ``map``."""
    import pandas as pd

    frame = pd.read_parquet(dataset / "data")
    for column in ("text", "label"):
        if filtered:
            odd = frame[column].str.contains(ODD, regex=True)
            frame.loc[odd, column] = frame.loc[odd, column].map(normalize)
        else:
            frame[column] = frame[column].map(normalize)
    frame = frame[(frame["text"] != "") & (frame["label"] != "")]
    if filtered:
        looked_at = frame["text"].str.contains(CUE, regex=True)
        frame.loc[looked_at, "text"] = frame.loc[looked_at, "text"].map(masked)
    else:
        frame["text"] = frame["text"].map(masked)
    frame = frame.drop_duplicates(["text", "label"])
    frame = frame[~frame.duplicated("text", keep=False)]
    frame.to_parquet(folder / "prepared.parquet", compression="zstd", compression_level=1, index=False)


def with_polars(dataset: Path, folder: Path) -> None:
    """One lazy query of polars; Python sees the texts that its regular expressions let through."""
    import polars as pl

    def normal(column: str) -> pl.Expr:
        text = pl.col(column).str.replace_all(UNWANTED, "").str.replace_all(r"\s+", " ")
        return text.str.strip_chars(" ").str.normalize("NFC")

    text = pl.col("text")
    looked_at = pl.when(text.str.contains(CUE)).then(text)
    frame = (
        pl.scan_parquet(dataset / "data" / "*.parquet")
        .with_columns(normal("text"), normal("label"))
        .filter((text != "") & (pl.col("label") != ""))
        .with_columns(looked_at.map_elements(masked, return_dtype=pl.String, skip_nulls=True).fill_null(text))
        .unique(["text", "label"], keep="first", maintain_order=True)
        .filter(text.is_unique())
        .collect()
    )
    frame.write_parquet(folder / "prepared.parquet", compression="zstd", compression_level=1)


def with_tidemill(dataset: Path, folder: Path, *, near: bool = False) -> None:
    """What a preprocess job does; ``near``: with near duplicates, which must not come into different parts."""
    from services.preprocess.dataset import preprocess
    from services.preprocess.settings import MOST_PROCESSES
    from services.preprocess.spec import PreprocessSpec
    from tidemill.jobs.preload import usable_processors
    from tidemill.jobs.report import Inputs, SilentReport

    words: dict[str, Any] = {"privacy": {"detect": list(LOOKED_FOR), "regions": list(REGIONS)}}
    recipe = parse_recipe(words if near else {**words, "data": {"near_duplicates": None}})
    spec = PreprocessSpec.of("text-classification", recipe)
    processes = min(MOST_PROCESSES, usable_processors())
    preprocess(spec, Inputs({"dataset": dataset}), folder, SilentReport(), processes=processes)


PEERS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "tidemill": ("services.preprocess.dataset", with_tidemill),
    "tidemill-near": ("services.preprocess.dataset", lambda dataset, folder: with_tidemill(dataset, folder, near=True)),
    "polars": ("polars", with_polars),
    "pandas": ("pandas", with_pandas),
    "pandas-filtered": ("pandas", lambda dataset, folder: with_pandas(dataset, folder, filtered=True)),
}
"""Each with the module that is imported before the clock starts."""


def outcome(folder: Path) -> dict[str, int]:
    """How many rows were written, and how many values are masked."""
    files = [path for path in folder.rglob("*.parquet") if path.parent == folder or "dataset" in path.parts]
    found: dict[str, int] = {"rows": 0}
    for path in files:
        texts = pq.read_table(path, columns=["text"])["text"]
        found["rows"] += len(texts)
        for name in LOOKED_FOR:
            count = pc.sum(pc.count_substring(texts, mask(name))).as_py() or 0
            found[name] = found.get(name, 0) + count
    return found


def main(who: str, dataset: Path, folder: Path) -> dict[str, Any]:
    """Seconds of the clock and of all cores, without imports; peak resident bytes of this process; what came out."""
    module, work = PEERS[who]
    import_module(module)
    folder.mkdir(parents=True)
    cpu, begun = _cpu_seconds(), time.perf_counter()
    work(dataset, folder)
    figures = {"seconds": time.perf_counter() - begun, "cpu": _cpu_seconds() - cpu, "peak": _peak()}
    return figures | {"outcome": outcome(folder)}


def _cpu_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))

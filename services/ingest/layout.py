"""Which files make a dataset, by their names alone: one data file, or given parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from tidemill.errors import InvalidInput

PARTS = ("train", "validation", "test")
_PART_OF_STEM = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation",
                 "dev": "validation", "test": "test"}  # fmt: skip
DATA_SUFFIXES = frozenset((".csv", ".tsv", ".tab", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".pq"))
_TABLE_SUFFIXES = DATA_SUFFIXES - {".txt", ".json"}
"""Names that can hardly be anything but a table; the others are often notes beside the data."""


def choose_files(names: Sequence[str], where: str) -> list[str]:
    """Those of the files ``names`` of one folder that are the dataset: its given parts, or its only data file.

    Raises:
        InvalidInput: there is none, or it is not clear which.
    """
    visible = sorted(name for name in names if not name.startswith((".", "_")))
    parts = _given_parts(visible, where)
    if parts is not None:
        return list(parts.values())
    for candidates in (_with_suffix(visible, _TABLE_SUFFIXES), _with_suffix(visible, DATA_SUFFIXES), visible):
        if len(candidates) == 1:
            return candidates
        if candidates:
            raise InvalidInput(
                f"folder {where} holds {len(candidates)} files that could be the dataset "
                f"({', '.join(candidates[:10])}); name one of them, or name the parts train.*, test.* and validation.*"
            )
    raise InvalidInput(f"folder {where} holds no data file; expected CSV, TSV, JSONL or Parquet")


def part_files(folder: Path) -> dict[str, Path]:
    """The dataset in ``folder``: ``{"data": file}``, or the given parts in the order train, validation, test."""
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    chosen = choose_files(names, "of the dataset")
    parts = _given_parts(chosen, "of the dataset") or {"data": chosen[0]}
    return {part: folder / name for part, name in parts.items()}


def _given_parts(names: Sequence[str], where: str) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for name in _with_suffix(names, DATA_SUFFIXES):
        part = _PART_OF_STEM.get(PurePath(name).stem.casefold())
        if part is None:
            continue
        if part in found:
            raise InvalidInput(f"folder {where} holds both {found[part]} and {name}; keep one file for each part")
        found[part] = name
    if not {"train", "test"} <= found.keys():
        return None
    return {part: found[part] for part in PARTS if part in found}


def _with_suffix(names: Sequence[str], suffixes: frozenset[str]) -> list[str]:
    return [name for name in names if PurePath(name).suffix.casefold() in suffixes]

"""Names of parts in the names of files, folders, arrays and keys: ``adult-train.csv``, ``x_test``, ``oos_val``."""

from __future__ import annotations

import re
from pathlib import Path

from tidemill.contracts.data import PartName

PARTS: tuple[PartName, ...] = ("train", "validation", "test")
PART_OF_WORD: dict[str, PartName] = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+")


def part_in_name(name: str) -> PartName | None:
    """The part that a word of ``name`` says; None when there is no such word, or words of several parts."""
    parts = {PART_OF_WORD[word] for word in _WORD.findall(name.casefold()) if word in PART_OF_WORD}
    return parts.pop() if len(parts) == 1 else None


def path_of_part(path: Path, part: str) -> Path:
    """The name of the table that is one part of the file ``path``: ``clinc.json[train]``."""
    return path.with_name(f"{path.name}[{part}]")


def without_part(name: str) -> str:
    """``name`` without the word that says the part and the signs around it: ``train_images`` gives ``images``."""
    words = [word for word in re.split(r"[_\W]+", name) if word and word.casefold() not in PART_OF_WORD]
    return "_".join(words)

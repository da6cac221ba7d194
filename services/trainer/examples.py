"""Reads a prepared dataset into texts and label indices, and cuts it into folds. NumPy and pyarrow; no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from services.trainer.spec import Fold
from tidemill.datasets import PARTS, read_part
from tidemill.errors import InvalidInput


@dataclass(frozen=True)
class Examples:
    """Texts of one part and the indices of their labels, int64 [n]."""

    texts: list[str]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """The examples at ``rows``, in that order."""
        return Examples([self.texts[int(row)] for row in rows], self.labels[rows])

    def __add__(self, other: Examples) -> Examples:
        return Examples(self.texts + other.texts, np.concatenate([self.labels, other.labels]))


@dataclass(frozen=True)
class PreparedDataset:
    """The three parts of a dataset. ``held_out`` is the name of what ``test`` holds."""

    labels: list[str]
    train: Examples
    validation: Examples
    test: Examples
    held_out: str = "test"

    @property
    def sizes(self) -> dict[str, int]:
        """Examples by part."""
        return {"train": len(self.train), "validation": len(self.validation), self.held_out: len(self.test)}


def read_dataset(directory: Path) -> PreparedDataset:
    """Read what preprocess leaves: parts with the columns ``text`` and ``label``, and ``labels.json``.

    Raises:
        InvalidInput: ``labels.json`` cannot be read, a part is empty, a label unknown; names it.
        CorruptArtifact: a part is missing or broken; names the file.
    """
    try:
        labels = json.loads((directory / "labels.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"prepared dataset: labels.json cannot be read: {error}") from None
    if not isinstance(labels, list) or len(labels) < 2:
        raise InvalidInput("prepared dataset: labels.json must be a list of two or more labels")
    names = [str(label) for label in labels]
    train, validation, test = (_read_part(directory, part, names) for part in PARTS)
    return PreparedDataset(names, train, validation, test)


def hold_out(dataset: PreparedDataset, fold: Fold, seed: int) -> PreparedDataset:
    """The dataset of one fold: its test part is that share of training and validation together.

    Of what remains, as large a share validates as did before, so that the fold itself is never chosen on. Folds are
    stratified and depend on the seed alone.
    """
    everything = dataset.train + dataset.validation
    assigned = stratified_groups(everything.labels, fold.of, seed)
    tested = np.flatnonzero(assigned == fold.index - 1)
    rest = np.flatnonzero(assigned != fold.index - 1)
    groups = max(2, round(len(everything) / max(1, len(dataset.validation))))
    validating = stratified_groups(everything.labels[rest], groups, seed + fold.index) == 0
    return PreparedDataset(
        dataset.labels,
        everything.take(rest[~validating]),
        everything.take(rest[validating]),
        everything.take(tested),
        held_out=f"fold {fold.index}",
    )


def stratified_groups(labels: NDArray[np.int64], groups: int, seed: int) -> NDArray[np.int64]:
    """A group in 0..``groups``-1 for every example, int64 [n]: sizes differ by at most one, and so do those within
    every label."""
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    assigned = np.empty(len(labels), dtype=np.int64)
    # Dealing out label after label without a break keeps both the groups and the labels in them even.
    assigned[by_label] = np.arange(len(labels)) % groups
    return assigned


def _read_part(dataset: Path, part: str, labels: Sequence[str]) -> Examples:
    table = read_part(dataset, part, ["text", "label"])
    if not table.num_rows:
        raise InvalidInput(f"prepared dataset: {part} has no rows; the dataset is too small to be split")
    encoded = table["label"].cast(pa.string()).combine_chunks().dictionary_encode()
    known = {label: index for index, label in enumerate(labels)}
    names = encoded.dictionary.to_pylist()
    unknown = [name for name in names if name not in known]
    if unknown or encoded.null_count:
        name = unknown[0] if unknown else None
        row = encoded.indices.index(names.index(name)).as_py() if unknown else encoded.is_null().index(True).as_py()
        raise InvalidInput(f"prepared dataset: {part} row {row}: label {name!r} is not in labels.json")
    indices = np.array([known[name] for name in names], dtype=np.int64)[encoded.indices.to_numpy()]
    return Examples(table["text"].to_pylist(), indices)

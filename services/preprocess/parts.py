"""Makes the parts of the prepared dataset: keeps given ones apart from each other, cuts the ones that are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.preprocess.examples import select
from services.preprocess.split import assign_parts
from services.preprocess.steps import StepReport, leakage_keys, shown
from tidemill.contracts.preparation import Split
from tidemill.errors import InvalidInput

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Prepared:
    """The parts, the step that kept them apart, and what a person should look at."""

    parts: Mapping[str, pa.Table]
    step: StepReport | None
    warnings: Sequence[str]


def make_parts(examples: pa.Table, split: Split) -> Prepared:
    """Cut ``examples``; given parts are kept, but no text, case-folded, stays in two of them.

    Of given parts the test part is left as it is: validation gives way to test, and training to both.

    Raises:
        InvalidInput: a class cannot be in every part, or a given part has labels that training lacks.
    """
    if examples.num_rows == 0:
        raise InvalidInput("no row is left after cleaning; the quality of the dataset has to be looked at first")
    given = set(pc.unique(examples["part"]).to_pylist())
    if given == {"data"}:
        parts = _cut(examples, leakage_keys(examples), {"test": split.test, "validation": split.validation}, split.seed)
        return Prepared(parts, None, _uneven(parts))
    examples, keys, step = _keep_apart(examples)
    parts = {part: select(examples, _is(examples, part)) for part in PARTS if part in given}
    _refuse_unknown_labels(parts)
    if "validation" not in given:
        in_train = _is(examples, "train")
        train_keys = [key for key, kept in zip(keys, in_train, strict=True) if kept]
        parts |= _cut(parts["train"], train_keys, {"validation": split.validation}, split.seed)
    empty = [part for part in PARTS if parts[part].num_rows == 0]
    if empty:
        raise InvalidInput(
            f"the {empty[0]} part has no row left: all of its texts are empty, contradictory or in another part too; "
            "give it rows of its own"
        )
    return Prepared({part: parts[part] for part in PARTS}, step, _uneven(parts) + _absent(parts))


def _cut(examples: pa.Table, keys: Sequence[str], shares: Mapping[str, float], seed: int) -> dict[str, pa.Table]:
    labels, rows = examples["label"].to_pylist(), examples["row"].to_pylist()
    if len(set(labels)) < 2:
        raise _one_class(labels)
    assigned = np.array(assign_parts(keys, labels, rows, shares, seed=seed))
    return {part: select(examples, assigned == part) for part in PARTS if part == "train" or part in shares}


def _keep_apart(examples: pa.Table) -> tuple[pa.Table, list[str], StepReport]:
    keys = leakage_keys(examples)
    part_of_row = examples["part"].to_pylist()
    # A later part in this order gives way to an earlier one.
    owner: dict[str, str] = {}
    for part in ("test", "validation", "train"):
        for key, own in zip(keys, part_of_row, strict=True):
            if own == part:
                owner.setdefault(key, part)
    keep = np.array([owner[key] == own for key, own in zip(keys, part_of_row, strict=True)], dtype=np.bool_)
    step = StepReport(
        name="keep parts apart",
        says="texts that are in a later part too, whatever their case, are removed from the earlier one",
        before=examples.num_rows,
        after=int(keep.sum()),
        changed=0,
        examples=shown(select(examples, ~keep)),
    )
    return select(examples, keep), [key for key, kept in zip(keys, keep, strict=True) if kept], step


def _refuse_unknown_labels(parts: Mapping[str, pa.Table]) -> None:
    known = set(parts["train"]["label"].to_pylist())
    if len(known) < 2:
        raise _one_class(parts["train"]["label"].to_pylist(), "of the training part ")
    for part in ("validation", "test"):
        if part not in parts:
            continue
        for row, label in zip(parts[part]["row"].to_pylist(), parts[part]["label"].to_pylist(), strict=True):
            if label not in known:
                raise InvalidInput(
                    f"the {part} part, row {row}: label {label!r} does not occur in the training part "
                    f"({len(known)} labels: {_listed(sorted(known))}), after rows that it shares with other parts were "
                    "removed; correct the label or add training rows of that class"
                )


def _one_class(labels: Sequence[str], where: str = "") -> InvalidInput:
    left = f"only the label {labels[0]!r}" if labels else "no row"
    return InvalidInput(f"{left} {where}is left after cleaning; a classifier needs at least two classes: add rows")


def _uneven(parts: Mapping[str, pa.Table]) -> list[str]:
    counts = sorted(pc.value_counts(parts["train"]["label"]).to_pylist(), key=lambda entry: entry["counts"])
    few, many = counts[0], counts[-1]
    if many["counts"] < 20 * few["counts"]:
        return []
    return [
        f"classes are very uneven: {few['values']!r} has {few['counts']:,} training rows, {many['values']!r} has "
        f"{many['counts']:,}"
    ]


def _absent(parts: Mapping[str, pa.Table]) -> list[str]:
    known = set(parts["train"]["label"].to_pylist())
    warnings = []
    for part in ("validation", "test"):
        absent = sorted(known - set(parts[part]["label"].to_pylist()))
        if absent:
            warnings.append(f"the {part} part has no row of {len(absent)} of {len(known)} labels: {_listed(absent)}")
    return warnings


def _is(examples: pa.Table, part: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return pc.equal(examples["part"], part).to_numpy()  # type: ignore[no-any-return]


def _listed(labels: Sequence[str]) -> str:
    shown = ", ".join(repr(label) for label in labels[:10])
    return shown if len(labels) <= 10 else f"{shown} and {len(labels) - 10} more"

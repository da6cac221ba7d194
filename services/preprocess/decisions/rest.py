"""What is decided last: fitted values, small groups of people, balance. Writes what becomes of every row."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from services.preprocess.balance import copies_of
from services.preprocess.decisions.anonymity import SUPPRESSES, measured, suppressed
from services.preprocess.decisions.columns import AllRows
from services.preprocess.decisions.fitting import Fit, Fitting
from services.preprocess.duplicates import KeyFiles
from services.preprocess.duplicates.keys import LEAKAGE
from services.preprocess.engine import Engine
from services.preprocess.plan import (
    ANONYMITY,
    BALANCE,
    CONTRADICTIONS,
    DUPLICATES,
    FITTED,
    KEEP_APART,
    KEEP_NEAR_APART,
    NEAR_DUPLICATES,
    Plan,
)
from services.preprocess.spec import PreprocessSpec, ShardInfo
from services.preprocess.splits import PARTS
from services.preprocess.splits.cutting import check_left
from services.preprocess.splits.units import TRAIN, ranks
from services.preprocess.tally import SHOWN_EXAMPLES, StepTally, merged
from services.preprocess.training_texts import WORDS_OF
from services.preprocess.work import Work, read_json, read_tallies, write_json
from tidemill.errors import InvalidInput

_SAYS = {
    CONTRADICTIONS: ("drop contradictions", "the same content with different labels: nobody knows which is right"),
    DUPLICATES: ("drop duplicates", "the same example came before in the same part"),
    KEEP_APART: ("keep parts apart", "what is in a later part too, whatever its case, goes from the earlier one"),
    KEEP_NEAR_APART: ("keep near duplicates apart", "what resembles a row of a later part goes from the earlier one"),
    NEAR_DUPLICATES: ("drop near duplicates", "texts that resemble an earlier one of the same part"),
}


def decide_rest(plan: Plan, spec: PreprocessSpec, shards: Sequence[ShardInfo], work: Work, engine: Engine) -> None:
    """Leave for every shard its decisions, row for row: ``removed`` (int16, the step's number, 0: stays), ``part``,
    ``fold`` (int8) and ``copies`` (int32), and the fitted values; ``summary/decided.json`` has the steps' tallies.

    Raises:
        InvalidInput: no training row is left to fit on, classes are to be balanced that the task does not have, or
            groups of people are too small and the recipe says that this fails.
    """
    rows = AllRows(shards, work)
    removed = np.load(work.folder("found") / "removed.npy")
    part, fold = np.load(work.folder("cut") / "part.npy"), np.load(work.folder("cut") / "fold.npy")
    fitting = Fitting(plan, shards, work, engine, spec.decided_on, (removed == 0) & (part == TRAIN))
    fits = fitting.fit()
    if fitting.removes:
        removed = np.where(removed == 0, fitting.removed(), removed)
    rule = spec.privacy.anonymity
    if rule is not None:
        removed = suppressed(rows, rule, removed, removed == 0)
    copies = _copies(plan, spec, rows, removed, part)
    if rule is not None:  # undersampling may have made groups small again
        removed = suppressed(rows, rule, removed, (removed == 0) & (copies > 0))
    check_left(part, removed)
    tallies = merged([read_tallies(work.keys(shard)) for shard in shards])
    tallies += _decided(spec, fits, removed, copies)
    pairs, examples = read_json(work.folder("found") / "pairs.json"), _examples(removed)
    write_json(
        work.folder("summary") / "decided.json",
        {
            "tallies": [tally.model_dump() for tally in tallies],
            "fitted": [fit.document() for fit in fits],
            "pairs": pairs,
            "examples": examples,
            "together": _together(work, removed),
            "anonymity": None if rule is None else measured(rows, rule, (removed == 0) & (copies > 0)),
        },
    )
    shown = {pair[side] for pair in pairs for side in ("row", "of")} | {example["row"] for example in examples}
    _write(rows, fits, sorted(shown), removed, part, fold, copies)
    if "text" in plan.roles:  # whether texts are changed is not asked yet: with other copies this is not done again
        _hold_out(rows, (removed == 0) & (part != TRAIN))


def _copies(
    plan: Plan, spec: PreprocessSpec, rows: AllRows, removed: npt.NDArray[np.int16], part: npt.NDArray[np.int8]
) -> npt.NDArray[np.int32]:
    copies = np.ones(len(removed), np.int32)
    if spec.data.balance.method == "none":
        return copies
    if plan.label is None:
        raise InvalidInput(f"data.balance evens out classes, and {plan.task} has none; remove it from the recipe")
    training = np.flatnonzero((removed == 0) & (part == TRAIN))
    keys = KeyFiles([rows.work.keys(shard) for shard in rows.shards])
    rank = ranks(keys.column(LEAKAGE[0])[training], keys.column(LEAKAGE[1])[training], spec.data.balance.seed)
    copies[training] = copies_of(rows.codes(plan.label)[0][training], rank, spec.data.balance)
    return copies


def _decided(
    spec: PreprocessSpec, fits: Sequence[Fit], removed: npt.NDArray[np.int16], copies: npt.NDArray[np.int32]
) -> list[StepTally]:
    shown = []
    if spec.data.drop_duplicates:
        shown += [CONTRADICTIONS, DUPLICATES]
    shown += [KEEP_APART] if (removed == KEEP_APART).any() else []
    if spec.data.near_duplicates is not None:
        shown += [KEEP_NEAR_APART, NEAR_DUPLICATES]
    tallies = [StepTally(number=number, name=_SAYS[number][0], says=_SAYS[number][1]) for number in shown]
    tallies += [StepTally(number=fit.number, name=fit.step.name, says=fit.step.says) for fit in fits]
    if spec.privacy.anonymity is not None and spec.privacy.anonymity.action == "suppress":
        tallies.append(StepTally(number=ANONYMITY, name="suppress small groups", says=SUPPRESSES))
    for tally in tallies:
        tally.removed = int((removed == tally.number).sum())
    if spec.data.balance.method != "none":
        balance = spec.data.balance
        says = f"the largest class of the training part is at most {balance.max_ratio:g} times the smallest"
        left_out, added = int((copies == 0).sum()), int((copies - 1).clip(0).sum())
        counts = {"rows added": added} if added else {}
        tallies.append(StepTally(number=BALANCE, name=balance.method, says=says, removed=left_out, counts=counts))
    return tallies


def _together(work: Work, removed: npt.NDArray[np.int16]) -> int:
    """Rows that stay and had to come into the same part as another one."""
    group = np.load(work.folder("found") / "group.npy")[removed == 0]
    sizes = np.bincount(group) if len(group) else np.zeros(0, np.int64)
    return int(sizes[sizes > 1].sum())


def _write(
    rows: AllRows, fits: Sequence[Fit], shown: Sequence[int], removed: npt.NDArray[np.int16],
    part: npt.NDArray[np.int8], fold: npt.NDArray[np.int8], copies: npt.NDArray[np.int32],
) -> None:  # fmt: skip
    first = 0
    every = max(1, math.ceil(int(((removed == 0) & (part == TRAIN)).sum()) / WORDS_OF))
    for shard, count in zip(rows.shards, rows.counts, strict=True):
        own = slice(first, first + count)
        table = pa.table({"removed": removed[own], "part": part[own], "fold": fold[own], "copies": copies[own]})
        path = rows.work.decisions(shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd", compression_level=1)
        document = {
            "fitted": [fit.document() for fit in fits],
            "words_every": every,
            "shown": [[row, row - first] for row in shown if first <= row < first + count],
        }
        write_json(path.with_suffix(".json"), document)
        first += count


def _hold_out(rows: AllRows, held_out: npt.NDArray[np.bool_]) -> None:
    """Leave the hashes of what the rows that are ``held_out`` say, so that no changed copy says the same."""
    said = np.unique(KeyFiles([rows.work.keys(shard) for shard in rows.shards]).column(LEAKAGE[0])[held_out])
    first, *others = (rows.work.held_out(shard) for shard in rows.shards)
    np.save(first, said)
    for other in others:
        rows.work.take_file(first, str(other.relative_to(rows.work.root)))


def _examples(removed: npt.NDArray[np.int16]) -> list[dict[str, int]]:
    """Some of the rows that fitted steps and the suppression of small groups removed."""
    return [
        {"step": int(number), "row": row}
        for number in np.unique(removed[removed >= FITTED])
        for row in np.flatnonzero(removed == number)[:SHOWN_EXAMPLES].tolist()
    ]


def parts_of(shard: ShardInfo) -> tuple[str, ...]:
    """The parts that rows of a shard can come into."""
    return PARTS if shard.part == "data" else ("train", "validation") if shard.part == "train" else (shard.part,)

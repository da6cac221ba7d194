"""What becomes of rows that cannot be read: they fail the run, go, or are put aside. Counted in any case.

Memory is bounded: rows that are put aside go to their file in pieces, reasons are counted by kind, a few examples stay.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import numpy.typing as npt

from services.ingest.intake.discretion import without_values
from services.ingest.intake.quarantine import Quarantine
from tidemill.datasets.intake import BadRowExample, BadRowFigures, BadRowKind
from tidemill.errors import InvalidInput

Policy = Literal["fail", "drop", "quarantine"]

_EXAMPLES = 5
_MAX_KINDS = 50
_OTHER = "other reasons"
_SHOWN = 200
_VARIABLE = re.compile(r"""'[^']*'|"[^"]*"|\d[\d,.]*""")


class BadRowKeeper:
    """The ``BadRows`` of one dataset. ``folder`` gets ``rows.parquet`` when there are any to put aside.

    A ``discreet`` one shows no value in errors and figures; the rows that are put aside are as they were.
    """

    def __init__(self, policy: Policy, folder: Path, *, discreet: bool = False) -> None:
        self._policy = policy
        self._discreet = discreet
        self._quarantine = Quarantine(folder) if policy == "quarantine" else None
        self._kinds: Counter[str] = Counter()
        self._examples: dict[str, list[BadRowExample]] = {}
        self._by_file: Counter[Path] = Counter()
        self._next: dict[Path, int] = {}
        """Numbers of the next rows of the files."""
        self._ahead: dict[Path, set[int]] = {}
        """Numbers of bad rows from there on, which their readers told before the batch that ends behind them."""

    def add(self, path: Path, row: int, reason: str, content: str) -> None:
        """See ``services.ingest.tables.BadRows``."""
        content = content.encode("utf-8", "replace").decode()
        place = reason if reason.startswith(path.name) else f"{path.name}, {reason}"
        told = without_values(place) if self._discreet else place
        if self._policy == "fail":
            raise InvalidInput(f"{told}; or set data.on_bad_row: quarantine (or drop), which leaves such rows out")
        self._by_file[path] += 1
        if row >= self._next.get(path, 1):
            self._ahead.setdefault(path, set()).add(row)
        kind = _VARIABLE.sub("…", reason.removeprefix(path.name).lstrip(", "))
        if kind not in self._kinds and len(self._kinds) >= _MAX_KINDS:
            kind = _OTHER
        self._kinds[kind] += 1
        examples = self._examples.setdefault(kind, [])
        if len(examples) < _EXAMPLES:
            kept = "" if self._discreet else shortened(content)
            examples.append(BadRowExample(file=path.name, row=row, reason=told, content=kept))
        if self._quarantine is not None:
            self._quarantine.add(path.name, row, place, content)

    def begin(self, path: Path) -> None:
        """A table at ``path`` is about to be read: its rows count from 1, also when one was read there before."""
        self._next[path] = 1
        self._ahead.pop(path, None)

    def numbers_of(self, path: Path, rows: int) -> npt.NDArray[np.int64]:
        """The numbers in ``path``, from 1, of the next ``rows`` good rows of its reader; those in between are bad.

        Rows are numbered once: what is found to be bad afterwards has its number already.
        """
        begin = self._next.get(path, 1)
        ahead = self._ahead.pop(path, set())
        numbers = np.arange(begin, begin + rows + len(ahead), dtype=np.int64)
        if ahead:
            numbers = numbers[~np.isin(numbers, np.fromiter(ahead, np.int64))]
        numbers = numbers[:rows]
        self._next[path] = following = int(numbers[-1]) + 1 if rows else begin
        if still := {number for number in ahead if number >= following}:
            self._ahead[path] = still
        return numbers

    def of_file(self, path: Path) -> int:
        """Bad rows of one file."""
        return self._by_file[path]

    @property
    def rows(self) -> int:
        """Bad rows in all."""
        return self._by_file.total()

    def check(self, good: int, where: str) -> None:
        """Refuse a dataset that has ``good`` good rows and rather is no such dataset at all.

        Raises:
            InvalidInput: no row is good, or more than half of all rows are bad, whatever the policy.
        """
        if not self.rows or (good and self.rows <= good):
            return
        reason, rows = self._kinds.most_common(1)[0]
        share = (
            "every row is bad" if not good else f"{self.rows:,} of {self.rows + good:,} rows are bad, more than half"
        )
        raise InvalidInput(
            f"{where}: {share}; most often ({rows:,} rows): {self._examples[reason][0].reason}; check data.format, "
            "data.columns and data.expected, or mend the rows: a dataset of which most is left out is not taken"
        )

    def figures(self) -> BadRowFigures:
        """What there was, for the report."""
        kinds = sorted(self._kinds.items(), key=lambda item: (-item[1], item[0]))
        return BadRowFigures(
            policy=self._policy, rows=self.rows,
            kinds=[BadRowKind(reason=kind, rows=rows, examples=self._examples[kind]) for kind, rows in kinds],
        )  # fmt: skip

    def __enter__(self) -> BadRowKeeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._quarantine is not None:
            self._quarantine.close()


def shortened(value: str) -> str:
    """``value``, cut for people."""
    return value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"

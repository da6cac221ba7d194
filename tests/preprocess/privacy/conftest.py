"""What the tests of privacy share: looking for personal data in one text, and running steps on a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import daft
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from services.preprocess.privacy import TOKENS, find, privacy_steps
from services.preprocess.privacy.numbers import NumberSample
from services.preprocess.python_calls import with_columns
from tidemill.contracts.privacy import STRUCTURAL, EntityName, Privacy
from tidemill.datasets import Column, DatasetSchema

KEY = b"a key of the tests, 32 bytes ..."
REGIONS = ("US", "GB", "CN", "DE")

Found = Callable[..., list[tuple[str, str]]]
Treat = Callable[..., "Treated"]


@pytest.fixture(scope="session")
def found() -> Found:
    """What is found in a text: pairs of entity and value."""

    def look(
        text: str,
        entities: Sequence[EntityName] = STRUCTURAL,
        *,
        regions: Sequence[str] = REGIONS,
        reserved: bool = True,
    ) -> list[tuple[str, str]]:
        findings = find(pa.array([text]), entities, regions, reserved=reserved)
        return [(name, findings.value(at)) for at, name in enumerate(findings.entities)]

    return look


@dataclass(frozen=True)
class Treated:
    table: pa.Table
    counts: dict[str, int]
    columns: dict[str, Column]
    tokens: pa.ChunkedArray | None

    def __getitem__(self, column: str) -> list[Any]:
        return self.table[column].to_pylist()


@pytest.fixture(scope="session")
def treat() -> Treat:
    """Runs the steps of a ``privacy`` section on a table, as the plan of a preparation does."""

    def run(
        privacy: Mapping[str, Any], table: pa.Table, kinds: Mapping[str, str] | None = None,
        roles: Mapping[str, str] | None = None, key: bytes | None = KEY,
        numbers: Mapping[str, NumberSample] | None = None,
    ) -> Treated:  # fmt: skip
        if key is not None:
            privacy = {"key": "env:UNUSED_HERE", **privacy}
        kinds = dict.fromkeys(table.column_names, "text") | dict(kinds or {})
        columns = {name: Column.model_validate({"name": name, "kind": kind}) for name, kind in kinds.items()}
        schema = DatasetSchema(task="text-classification", roles=dict(roles or {}), columns=list(columns.values()))
        frame, counts = daft.from_arrow(table), {}
        for number, step in enumerate(privacy_steps(Privacy.model_validate(privacy), schema, key, numbers)):
            change = step.change(columns).for_types({field.name: field.dtype for field in frame.schema()})
            hidden = {f"__{number}_{at}": value for at, value in enumerate(change.counts.values())}
            counts |= dict(zip(change.counts, hidden, strict=True))
            frame = with_columns(frame, {**change.columns, **hidden, f"__gone_{number}": _flag(change.remove)})
            if change.dropped_columns:
                frame = frame.exclude(*change.dropped_columns)
            columns = step.columns_after(columns)
        done = frame.to_arrow()
        for name in [name for name in done.column_names if name.startswith("__gone")]:
            done = done.filter(pc.invert(done[name]))
        sums = {what: int(pc.sum(done[name].cast(pa.int64())).as_py() or 0) for what, name in counts.items()}
        tokens = done[TOKENS] if TOKENS in done.column_names else None
        return Treated(done.select(list(columns)), {what: n for what, n in sums.items() if n}, columns, tokens)

    return run


def _flag(remove: daft.Expression | None) -> daft.Expression:
    return daft.lit(False) if remove is None else remove.fill_null(False)

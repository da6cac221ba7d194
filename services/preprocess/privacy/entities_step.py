"""The row step that finds personal data in text columns and treats it, as Daft expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add, or_

import daft
import pyarrow as pa
from daft import DataType, Expression, Series, col, lit
from daft.functions import when

from services.preprocess.change import Change, Step
from services.preprocess.privacy.answers import ANSWERS, realigned
from services.preprocess.privacy.text_scan import TextScan
from services.preprocess.privacy.tokens import TOKENS, with_tokens
from tidemill.datasets import Column, DatasetSchema

NAME = "treat personal data in texts"


def entities_step(scan: TextScan, schema: DatasetSchema, *, apart: frozenset[str]) -> Step:
    """The step for all text columns but the label and those of ``apart``, which the recipe treats as a whole."""
    label = schema.roles.get("label")
    answers = schema.roles.get("answers")

    def change(columns: Mapping[str, Column]) -> Change:
        names = [
            name
            for name, column in columns.items()
            if column.kind in ("text", "category") and name != label and name not in apart
        ]
        return _change(scan, names, schema.roles.get("context"), answers if answers in columns else None)

    how = ", ".join(f"{name}: {treatment}" for name, treatment in scan.treatments.items())
    return Step(NAME, f"found in text columns by form, check digits and words around; {how}", change)


def _change(scan: TextScan, names: list[str], context: str | None, answers: str | None) -> Change:
    if not names:
        return Change()
    found = {name: _scanned(scan, name, edits=answers is not None and name == context) for name in names}
    new = {name: _coalesce(one["text"], col(name)) for name, one in found.items()}
    if answers is not None and context in found:
        new[answers] = _realigned(new[context], found[context]["edits"], col(answers))
    if scan.seals:
        new[TOKENS] = with_tokens([one["tokens"] for one in found.values()])
    drops = "drop" in scan.treatments.values()
    return Change(
        columns=new,
        remove=reduce(or_, [one["drop"].fill_null(False) for one in found.values()]) if drops else None,
        counts={name: reduce(add, [one[name].fill_null(0) for one in found.values()]) for name in scan.treatments},
    )


def _scanned(scan: TextScan, name: str, *, edits: bool) -> Expression:
    """The scan of a column; Python is handed the texts with a cue, and null for others."""
    own = TextScan(scan.treatments, scan.regions, scan.key, scan.model, edits)
    text = col(name).cast(DataType.string())
    if own.cue is not None:
        text = when(text.regexp(own.cue), text).otherwise(lit(None).cast(DataType.string()))
    return _function(own)(text)


def _function(scan: TextScan) -> Callable[[Expression], Expression]:
    @daft.func.batch(return_dtype=DataType.from_arrow_type(scan.type), use_process=False)
    def treat_personal_data(texts: Series) -> pa.Array:
        return scan(texts.to_arrow())

    return treat_personal_data


@daft.func.batch(return_dtype=DataType.from_arrow_type(ANSWERS), use_process=False)
def _realign(contexts: Series, edits: Series, answers: Series) -> pa.Array:
    return realigned(contexts.to_arrow(), edits.to_arrow(), answers.to_arrow())


def _realigned(context: Expression, edits: Expression, answers: Expression) -> Expression:
    return _realign(context, edits, answers.cast(DataType.from_arrow_type(ANSWERS)))


def _coalesce(value: Expression, otherwise: Expression) -> Expression:
    return value.fill_null(otherwise)

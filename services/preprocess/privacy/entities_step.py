"""The row step that finds personal data in texts, numbers and nested values and treats it, as Daft expressions."""

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
from services.preprocess.privacy.nested_scan import NestedScan
from services.preprocess.privacy.numbers import NumberSample, NumberScan, kinds_in
from services.preprocess.privacy.text_scan import TextScan
from services.preprocess.privacy.tokens import TOKENS, with_tokens
from services.preprocess.privacy.vault import ENTRY
from tidemill.datasets import Column, DatasetSchema

NAME = "treat personal data in texts"


def entities_step(
    scan: TextScan, schema: DatasetSchema, *, apart: frozenset[str], numbers: Mapping[str, NumberSample]
) -> Step:
    """The step for all columns of texts, numbers and nested values but the label and those of ``apart``, which the
    recipe treats as a whole.

    Which columns of numbers hold personal data is told by their names and ``numbers``, their first values (see
    ``numbers``). Nested values that have a role, such as answers and objects, are the task's own and are left alone.
    """
    label, answers = schema.roles.get("label"), schema.roles.get("answers")
    own = {label, *apart}

    def change(columns: Mapping[str, Column]) -> Change:
        open_ones = {name: column.kind for name, column in columns.items() if name not in own}
        texts = [name for name, kind in open_ones.items() if kind in ("text", "category")]
        roles = set(schema.roles.values())
        nested = [name for name, kind in open_ones.items() if kind == "nested" and name not in roles]
        of_numbers = [
            NumberScan(name, kinds, scan.treatments, scan.regions)
            for name, kind in open_ones.items()
            if kind in ("integer", "number")
            and (kinds := kinds_in(name, numbers.get(name), scan.treatments, scan.regions))
        ]

        def typed(types: Mapping[str, DataType]) -> Change:
            context, pointing = schema.roles.get("context"), answers if answers in columns else None
            found = {name: _scanned(scan, name, edits=bool(pointing) and name == context) for name in texts}
            new = {name: _coalesce(one["text"], col(name)) for name, one in found.items()}
            if pointing is not None and context in found:
                new[pointing] = _realigned(new[context], found[context]["edits"], col(pointing))
            for name in nested:
                found[name] = _function(NestedScan(scan, types[name].to_arrow_dtype()))(col(name))
                new[name] = found[name]["value"]
            sealing = [one["tokens"] for one in found.values()]
            for one in of_numbers:
                found[one.name] = _function(one)(col(one.name))
                kept = ~found[one.name]["missing"].fill_null(False)
                new[one.name] = when(kept, col(one.name)).otherwise(lit(None).cast(types[one.name]))
            return _change(scan, found, new, sealing)

        if nested or of_numbers:
            return Change(typed=typed)
        return typed({}) if texts else Change()

    how = ", ".join(f"{name}: {treatment}" for name, treatment in scan.treatments.items())
    says = "found in texts, nested ones too, and in columns of numbers by form, check digits and words around"
    return Step(NAME, f"{says}; {how}; a number that is treated goes missing", change)


def _change(
    scan: TextScan, found: Mapping[str, Expression], new: dict[str, Expression], sealing: list[Expression]
) -> Change:
    if scan.seals:
        new[TOKENS] = with_tokens(sealing) if sealing else lit(None).cast(DataType.from_arrow_type(pa.list_(ENTRY)))
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


def _function(scan: TextScan | NestedScan | NumberScan) -> Callable[[Expression], Expression]:
    @daft.func.batch(return_dtype=DataType.from_arrow_type(scan.type), use_process=False)
    def treat_personal_data(values: Series) -> pa.Array:
        return scan(values.to_arrow())

    return treat_personal_data


@daft.func.batch(return_dtype=DataType.from_arrow_type(ANSWERS), use_process=False)
def _realign(contexts: Series, edits: Series, answers: Series) -> pa.Array:
    return realigned(contexts.to_arrow(), edits.to_arrow(), answers.to_arrow())


def _realigned(context: Expression, edits: Expression, answers: Expression) -> Expression:
    return _realign(context, edits, answers.cast(DataType.from_arrow_type(ANSWERS)))


def _coalesce(value: Expression, otherwise: Expression) -> Expression:
    return value.fill_null(otherwise)

"""The steps of a preparation, in their order: what the recipe's rules do to the columns of a dataset.

Row steps need nothing but the row; fitted ones look at the training part first; texts are augmented on the training
part. Knows no files, no parts and no jobs: the plan folds the steps into one frame.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from services.preprocess.change import Change, RowStep
from services.preprocess.fitted import FittedStep
from services.preprocess.rules.answers import change_answers
from services.preprocess.rules.augmentation import augment_texts
from services.preprocess.rules.bounds import bounds
from services.preprocess.rules.categories import encode_categories
from services.preprocess.rules.coercion import coerce_types
from services.preprocess.rules.columns import Roles, check_rules
from services.preprocess.rules.date_parts import date_parts
from services.preprocess.rules.filling import fill_missing
from services.preprocess.rules.hooks import TextHook, find_hook
from services.preprocess.rules.html import remove_html
from services.preprocess.rules.incomplete import drop_empty_rows
from services.preprocess.rules.labels import LabelCounts, normalise_labels, unify_labels
from services.preprocess.rules.languages import languages
from services.preprocess.rules.missing import missing_markers, missing_values, strip_spaces
from services.preprocess.rules.outliers import outliers
from services.preprocess.rules.scaling import scale_numbers
from services.preprocess.rules.stopping import remove_stop_words
from services.preprocess.rules.texts import lowercase, normalise_texts, text_length
from services.preprocess.rules.tokens import TokenStatistics, token_statistics
from tidemill.contracts.data import Data
from tidemill.datasets import Column, DatasetSchema


def row_steps(
    data: Data, schema: DatasetSchema, labels: LabelCounts | None = None, *, personal: Collection[str] = ()
) -> list[RowStep]:
    """The row steps that the recipe asks for and that have something to do, in their order.

    ``labels``: rows by label by part, as ingest counted them; without them labels are not unified. ``personal``:
    columns whose values no report may name.

    Raises:
        InvalidInput: a rule names a column that is not there, or cannot be applied to its kind.
    """
    check_rules(data, schema)
    columns = {column.name: column for column in schema.columns}
    steps: list[RowStep] = []
    for step in _in_order(data, schema, labels, personal):
        after = step.columns_after(columns)
        if after != columns or _does_something(step.change(columns)):
            steps.append(step)
            columns = after
    return steps


def fitted_steps(data: Data, schema: DatasetSchema) -> list[FittedStep]:
    """The steps that look at the training part first, in their order; each has to see what those before it left.

    Outliers come first, so that nobody's mean or scale knows them, and parts of dates are scaled as other numbers are.
    The task's own columns and the column that groups rows (``data.split.group``) are no features.

    Raises:
        InvalidInput: a rule names a column that is not there.
    """
    check_rules(data, schema)
    roles, rules = Roles.of(schema), data.features

    def features(columns: Mapping[str, Column]) -> list[str]:
        return [name for name in roles.features(columns) if name != data.split.group]

    steps: list[FittedStep] = [outliers(data.outliers, roles)] if data.outliers is not None else []
    emptied = data.outliers is not None and data.outliers.action == "missing"
    if emptied or {"median", "mode"} & _fitted_rules(data):
        steps.append(fill_missing(data, roles))
    steps += [date_parts(features)] if rules.dates == "parts" else []
    steps += [scale_numbers(rules.scale, features)] if rules.scale != "none" else []
    if rules.categories != "none":
        steps.append(encode_categories(rules.categories, rules.max_categories, features))
    return steps


def _fitted_rules(data: Data) -> set[str]:
    return {rule for rule in (data.missing.default, *data.missing.columns.values()) if isinstance(rule, str)}


def _in_order(
    data: Data, schema: DatasetSchema, labels: LabelCounts | None, personal: Collection[str]
) -> list[RowStep]:
    roles, text = Roles.of(schema), data.text_rules
    steps: list[RowStep] = [strip_spaces(roles), missing_markers(data.missing, roles)]
    if {"answers", "context"} <= schema.roles.keys():
        steps += [change_answers(schema.roles["answers"], schema.roles["context"], data)]
    steps += [remove_html(roles)] if text.strip_html else []
    steps += [normalise_texts(roles)] if data.normalize else []
    if roles.label is not None:
        steps += [normalise_labels(roles.label)]
        steps += [unify_labels(roles.label, labels, shown=roles.label not in personal)] if labels else []
    steps += [coerce_types(data.types, roles)]
    steps += [bounds(data.bounds)] if data.bounds else []
    steps += [languages(text.languages, roles)] if text.languages is not None else []
    steps += [lowercase(roles)] if text.lowercase else []
    if text.remove_stop_words:
        steps += [remove_stop_words(text.remove_stop_words, roles, schema.roles.get("context"))]
    steps += [drop_empty_rows(roles)]
    if text.min_characters or text.max_characters is not None:
        steps += [text_length(text, roles)]
    return [*steps, missing_values(data.missing, roles)]


def _does_something(change: Change) -> bool:
    return bool(change.columns or change.counts or change.fails or change.dropped_columns) or change.remove is not None


__all__ = [
    "LabelCounts",
    "TextHook",
    "TokenStatistics",
    "augment_texts",
    "find_hook",
    "fitted_steps",
    "row_steps",
    "token_statistics",
]

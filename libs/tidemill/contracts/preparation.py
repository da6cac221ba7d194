"""The recipe's words for preparing a dataset: cleaning, duplicates, splits, features, augmentation, the quality gate.

Sections of ``data``. Column rules are checked against the dataset's columns when they are applied, not here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tidemill.contracts.section import Section

ValueType = Literal["text", "integer", "number", "boolean", "date", "category"]

MissingRule = Literal["keep", "drop", "flag", "median", "mode"]
"""``flag`` adds a boolean column ``<column>_missing``; ``median`` and ``mode`` are those of the training part."""


class Constant(Section):
    """Missing values become this one."""

    constant: str | float | bool


class Missing(Section):
    """What happens to missing values of feature columns; rows without text or label are always dropped."""

    markers: list[str] = Field(default_factory=lambda: ["?", "NA", "N/A", "NaN", "nan", "null", "NULL"])
    """Values that mean 'missing' in columns of text formats, beside the empty one; not in the task's text columns."""
    default: MissingRule | Constant = "keep"
    columns: dict[str, MissingRule | Constant] = Field(default_factory=dict)


class Types(Section):
    """Types that values have to have; what cannot be read as its type is handled by ``on_bad_value``."""

    columns: dict[str, ValueType] = Field(default_factory=dict)
    """Detected for a column that is not named: a column of numbers becomes numbers."""
    on_bad_value: Literal["missing", "drop", "fail"] = "missing"
    decimal_comma: bool = False


class Bounds(Section):
    """The values that a column may have, ends included."""

    minimum: float | None = None
    maximum: float | None = None
    allowed: list[str] | None = None
    action: Literal["missing", "drop", "clip", "fail"] = "missing"

    @model_validator(mode="after")
    def _bounds_something(self) -> Bounds:
        if self.minimum is None and self.maximum is None and self.allowed is None:
            raise ValueError("give minimum, maximum or allowed")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        if self.action == "clip" and self.allowed is not None:
            raise ValueError("values can be clipped to a minimum and a maximum only")
        return self


class Outliers(Section):
    """Numbers far from the others, judged on the training part."""

    method: Literal["iqr", "zscore"] = "iqr"
    threshold: float = Field(default=3.0, gt=0)
    """Interquartile ranges beyond the quartiles, or standard deviations from the mean."""
    action: Literal["clip", "missing", "drop", "flag"] = "clip"
    columns: list[str] | None = None
    """Numeric columns that are looked at; all of them when absent."""


class TextRules(Section):
    """What happens to texts beyond ``data.normalize``, and which texts are kept."""

    strip_html: bool = False
    """Tags go, entities become characters, scripts and styles go with their content."""
    lowercase: bool = False
    languages: list[str] | None = None
    """ISO 639-1 codes of the languages that are kept, such as ``[en, zh]``; all when absent."""
    min_characters: int = Field(default=0, ge=0)
    max_characters: int | None = Field(default=None, ge=1)
    """Longer texts are dropped."""
    remove_stop_words: list[str] | None = None
    """ISO 639-1 codes of the languages whose stop words are removed."""


class NearDuplicates(Section):
    """Texts (of pairs the sources, of questions the contexts) that share most of their word shingles (MinHash with
    banding); there are none for other tasks. They never cross parts, unless the recipe
    says ``near_duplicates: null`` or ``across: keep``; within a part they stay, unless it says ``within: drop``."""

    threshold: float = Field(default=0.8, ge=0.3, le=1.0)
    """Jaccard similarity of the shingle sets above which two texts are near duplicates."""
    shingle: int = Field(default=3, ge=1, le=20)
    """Words of a shingle; characters in a text without spaces between words."""
    permutations: int = Field(default=128, ge=16, le=512)
    within: Literal["drop", "keep"] = "keep"
    """Near duplicates within one part: all but the first go, or all stay."""
    across: Literal["group", "drop", "keep"] = "group"
    """Across parts: those of a dataset that is cut here come into the same part; of given parts, the training and
    validation rows that resemble a test row go, whichever of ``group`` and ``drop`` is said."""
    seed: int = 17


class Balance(Section):
    """Evens out the classes of the training part."""

    method: Literal["none", "undersample", "oversample"] = "none"
    max_ratio: float = Field(default=1.0, ge=1.0)
    """Largest class over smallest class afterwards."""
    seed: int = 17


class Split(Section):
    """The parts that preprocess cuts when the dataset does not come with given ones."""

    method: Literal["stratified", "random", "group", "time"] = "stratified"
    """``stratified`` falls back to ``random`` for tasks without classes."""
    validation: float = Field(default=0.1, gt=0, lt=0.5)
    test: float = Field(default=0.2, gt=0, lt=0.5)
    group: str | None = None
    """Column whose values never cross parts (``method: group``)."""
    time: str | None = None
    """Column with a date or a number; the latest rows are tested on (``method: time``)."""
    folds: int | None = Field(default=None, ge=2, le=20)
    """Writes a column ``fold`` (1 to ``folds``) into the training and validation parts."""
    seed: int = 17

    @model_validator(mode="after")
    def _names_its_column(self) -> Split:
        if self.method == "group" and self.group is None:
            raise ValueError("method: group needs the column: split: {method: group, group: <column>}")
        if self.method == "time" and self.time is None:
            raise ValueError("method: time needs the column: split: {method: time, time: <column>}")
        for method, column in (("group", self.group), ("time", self.time)):
            if column is not None and self.method != method:
                raise ValueError(
                    f"split.{method} is only looked at with method: {method}, and the method is {self.method}: say "
                    f"split: {{method: {method}, {method}: {column}}}, or leave {method} out"
                )
        return self


class Features(Section):
    """Numbers made of tabular columns, fitted on the training part. For tabular tasks."""

    scale: Literal["none", "standard", "minmax"] = "none"
    categories: Literal["none", "ordinal", "onehot"] = "none"
    """Categories that the training part does not have are ``-1``, or zero in every column."""
    max_categories: int = Field(default=100, ge=2, le=10_000)
    """The most frequent ones; the others count as one."""
    dates: Literal["none", "parts"] = "none"
    """``parts``: year, month, day, weekday and hour in columns of their own."""


class TextAugmentation(Section):
    """More training texts by small changes (easy data augmentation, Wei and Zou 2019)."""

    copies: int = Field(default=1, ge=1, le=20)
    """Changed copies of every training text."""
    swap: float = Field(default=0.1, ge=0, le=1)
    """Share of the words that change places."""
    delete: float = Field(default=0.1, ge=0, le=0.9)
    """Probability that a word goes."""
    back_translation: str | None = None
    """``module:function`` from a list of texts to a list of texts, importable by the preprocess service; its operator
    has to allow it (TIDEMILL_PREPROCESS_ALLOWED_HOOKS)."""
    seed: int = 17


class ImageAugmentation(Section):
    """Declared here, applied anew in every epoch while training."""

    flip: bool = False
    rotate: float = Field(default=0, ge=0, le=180)
    """Degrees to either side."""
    crop: float = Field(default=0, ge=0, lt=1)
    """Largest share of each side that is cut away."""
    brightness: float = Field(default=0, ge=0, le=1)
    contrast: float = Field(default=0, ge=0, le=1)


class Augment(Section):
    """More training examples; validation and test are never touched."""

    text: TextAugmentation | None = None
    image: ImageAugmentation | None = None


class QualityGate(Section):
    """What the prepared dataset has to be; otherwise the run ends before training, and its report says why."""

    min_rows: int | None = Field(default=None, ge=1)
    max_missing: float | None = Field(default=None, ge=0, le=1)
    """Largest share of missing values in any column of the source."""
    max_duplicates: float | None = Field(default=None, ge=0, le=1)
    """Largest share of rows of the source that were exact or near duplicates."""
    max_removed: float | None = Field(default=None, ge=0, le=1)
    """Largest share of rows that cleaning removed."""
    max_imbalance: float | None = Field(default=None, ge=1)
    """Largest class over smallest class in the training part."""
    max_drift: float | None = Field(default=None, ge=0)
    """Largest population stability index of any column against the dataset's last version; 0.25 counts as large."""
    max_personal_data: int | None = Field(default=None, ge=0)
    """Largest number of findings of personal data that are still in the prepared dataset."""

"""The recipe's ``data`` section: how a dataset is read, what its columns mean, and how it is prepared."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from tidemill.contracts.preparation import (
    Augment,
    Balance,
    Bounds,
    Features,
    Missing,
    NearDuplicates,
    Outliers,
    QualityGate,
    Split,
    TextRules,
    Types,
    ValueType,
)
from tidemill.contracts.section import Section

TaskName = Literal[
    "text-classification", "tabular-classification", "tabular-regression", "image-classification", "object-detection",
    "audio-classification", "translation", "question-answering", "language-modelling",
]  # fmt: skip
TASK_NAMES: tuple[TaskName, ...] = get_args(TaskName)

FormatName = Literal[
    "csv", "tsv", "json", "jsonl", "parquet", "arrow", "xlsx", "xls", "arff", "npz", "squad", "lines", "text-folder",
    "image-folder", "voc", "coco", "audio-folder",
]  # fmt: skip

PartName = Literal["data", "train", "validation", "test"]


_OF_PREPARATION = {
    "normalize", "text_rules", "missing", "types", "bounds", "outliers", "drop_duplicates", "near_duplicates", "split",
    "balance", "features", "augment", "quality", "engine",
}  # fmt: skip


class Schema(Section):
    """What the dataset has to look like."""

    columns: dict[str, ValueType] = Field(default_factory=dict)
    """Columns that have to be there, and the types that their values have to have."""
    on_change: Literal["report", "fail"] = "report"
    """A column or type that differs from the dataset's last version: reported as drift, or the run fails. A column
    that goes or whose type gets wider than before is a breaking change, which always fails unless it is allowed."""
    allow_breaking: bool = False


class Data(Section):
    """How the dataset is read, what its columns mean, and how it is cleaned."""

    format: Literal["auto"] | FormatName = "auto"
    files: dict[PartName, str] = Field(default_factory=dict)
    """Files of the parts, by name or pattern (``{train: "adult-train.csv", test: "*test.csv"}``); detected when
    absent."""
    header: bool | None = None
    """Whether the first row of a CSV or TSV holds column names; detected when absent."""
    columns: list[str] | None = None
    """Column names for a file that has none (implies ``header: false``)."""
    encoding: str | None = None
    """Text encoding of the file; detected when absent."""
    sheet: str | None = None
    """Sheet of a workbook; its first one with rows when absent."""
    path_pattern: str | None = None
    """Columns in the paths of a media or text folder: ``{label}/{_}``, ``{label}_{speaker}_{index}.wav``; the folder
    of a file is its label when absent."""
    annotations: str | None = None
    """Table or COCO file with the labels of a media folder; detected when absent."""
    query: str | None = None
    """SELECT statement, where the dataset is a database."""

    text: str | None = None
    """Column with the text; detected when absent."""
    label: str | None = None
    """Column with the label, or the value to predict; detected when absent."""
    source: str | None = None
    """Translation: column with the text to translate."""
    target: str | None = None
    """Translation: column with its translation."""
    question: str | None = None
    context: str | None = None
    answers: str | None = None
    """Question answering: a column of ``{text: [...], answer_start: [...]}``."""

    on_bad_row: Literal["fail", "drop", "quarantine"] = "fail"
    """What cannot be read: fails the run, goes, or is kept as an artifact with its row number and the reason."""
    expected: Schema = Schema()
    licence: str | None = None
    """Licence of the dataset as an SPDX identifier or a name; kept with its provenance."""
    owner: str | None = None
    allowed_licences: list[str] | None = None
    """A dataset with another licence, or none, fails the run."""

    normalize: bool = True
    """Unicode NFC, control characters removed, white space collapsed."""
    text_rules: TextRules = TextRules()
    missing: Missing = Missing()
    types: Types = Types()
    bounds: dict[str, Bounds] = Field(default_factory=dict)
    """By column."""
    outliers: Outliers | None = None
    drop_duplicates: bool = True
    """Drop examples that occurred before; texts with contradicting labels are reported and dropped."""
    near_duplicates: NearDuplicates | None = NearDuplicates()
    split: Split = Split()
    balance: Balance = Balance()
    features: Features = Features()
    augment: Augment = Augment()
    quality: QualityGate = QualityGate()
    engine: Literal["local", "ray"] = "local"
    """Where preparation computes: on the worker, or on the Ray cluster of TIDEMILL_PREPROCESS_RAY_ADDRESS."""
    shard_rows: int = Field(default=500_000, ge=1_000, le=10_000_000)
    """Rows of one file of the dataset; a dataset of several is prepared as one job each, on any free replica."""

    @property
    def reading(self) -> dict[str, Any]:
        """What decides how a source is read, as JSON: another reading of the same source is another dataset."""
        words = self.model_dump(mode="json", exclude=_OF_PREPARATION)
        return words | {"markers": self.missing.markers, "decimal_comma": self.types.decimal_comma}

    @model_validator(mode="after")
    def _columns_mean_no_header(self) -> Data:
        if self.columns is not None and self.header:
            raise ValueError("set either columns (the file has no header row) or header: true, not both")
        if self.columns is not None and len(set(self.columns)) != len(self.columns):
            raise ValueError("columns holds a name twice; give every column its own name")
        if "data" in self.files and len(self.files) > 1:
            raise ValueError("files names either data, or the parts train, validation and test")
        if self.files and "data" not in self.files and not {"train", "test"} <= self.files.keys():
            raise ValueError("files has to name both train and test, or data alone")
        return self

"""Every folder of real data is taken in with a recipe of at most five lines, as its authors published it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml


@dataclass(frozen=True)
class Expected:
    recipe: str
    task: str
    parts: dict[str, int]
    kinds: dict[str, str] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)


FOLDERS = {
    "banking77": Expected(
        "{}",
        "text-classification",
        {"train": 10003, "test": 3080},
        kinds={"text": "text", "category": "category"},
    ),
    "sms_spam": Expected(
        "data: {columns: [label, text]}",
        "text-classification",
        {"data": 5574},
        labels={"ham": 4827, "spam": 747},
    ),
    "tabular_adult_income": Expected(
        """
        task: tabular-classification
        until: prepared
        data:
          files: {train: adult-train.csv, test: adult-test.csv}
          label: column_15
        """,
        "tabular-classification",
        {"train": 32561, "test": 16281},
        kinds={"column_1": "integer", "column_2": "category", "column_15": "category"},
        missing={"column_2": 1836 + 963, "column_7": 1843 + 966, "column_14": 583 + 274, "column_1": 0},
        labels={"<=50K": 24720, ">50K": 7841, "<=50K.": 12435, ">50K.": 3846},
    ),
    "tabular_german_credit": Expected(
        """
        task: tabular-classification
        until: prepared
        data: {files: {data: german.csv}, header: false, label: column_21}
        """,
        "tabular-classification",
        {"data": 1000},
        kinds={"column_1": "category", "column_2": "integer", "column_21": "integer"},
        labels={"1": 700, "2": 300},
    ),
    "dirty_horse_colic": Expected(
        """
        task: tabular-classification
        until: prepared
        data: {files: {data: horse-colic.csv}, header: false, label: column_24}
        """,
        "tabular-classification",
        {"data": 300},
        kinds={"column_4": "number", "column_16": "number"},
        missing={"column_1": 1, "column_4": 60, "column_16": 247, "column_23": 1},
        labels={"1": 191, "2": 109},
    ),
    "dirty_auto_imports": Expected(
        """
        task: tabular-regression
        until: prepared
        data: {files: {data: auto_imports.csv}, header: false, label: column_26}
        """,
        "tabular-regression",
        {"data": 201},
        kinds={"column_2": "integer", "column_3": "category", "column_26": "integer"},
        missing={"column_2": 37, "column_19": 4},
    ),
    "clinc150": Expected(
        "data: {files: {data: data_small.json}}",
        "text-classification",
        {"train": 7500 + 100, "validation": 3000 + 100, "test": 4500 + 1000},
        kinds={"column_1": "text", "column_2": "category"},
    ),
    "cmrc2018": Expected(
        "until: prepared",
        "question-answering",
        {"data": 1002},
        kinds={"question": "text", "context": "text", "answers": "nested"},
    ),
    "xquad": Expected(
        """
        until: prepared
        data: {files: {data: "xquad.*.json"}}
        """,
        "question-answering",
        {"data": 2 * 1190},
        kinds={"question": "text", "context": "text", "answers": "nested"},
    ),
    "tatoeba_cmn_eng": Expected(
        """
        task: translation
        until: prepared
        data: {columns: [en, zh], source: en, target: zh}
        """,
        "translation",
        {"data": 32028},
        kinds={"en": "text", "zh": "text"},
    ),
    "tinyshakespeare": Expected("until: prepared", "language-modelling", {"data": 7222}, kinds={"text": "text"}),
    "pneumoniamnist": Expected(
        "until: prepared",
        "image-classification",
        {"train": 2428, "validation": 270, "test": 468},
        kinds={"image": "image", "label": "integer"},
    ),
    "pii_presidio_synth": Expected(
        """
        task: language-modelling
        until: prepared
        data: {files: {data: generated_large.json}, text: full_text}
        """,
        "language-modelling",
        {"data": 2109},
        kinds={"full_text": "text"},
    ),
    "bccd": Expected(
        "until: prepared",
        "object-detection",
        {"train": 205, "validation": 87, "test": 72},
        kinds={"image": "image", "objects": "nested"},
    ),
    "fsdd_subset": Expected(
        """
        until: prepared
        data: {path_pattern: "{label}_{speaker}_{index}.wav"}
        """,
        "audio-classification",
        {"data": 900},
        kinds={"audio": "audio", "speaker": "category", "index": "integer"},
        labels={str(digit): 90 for digit in range(10)},
    ),
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_taken_in_with_a_short_recipe(ingest_files, real_data: Path, folder: str) -> None:
    expected = FOLDERS[folder]
    lines = expected.recipe.strip().splitlines()
    assert len(lines) <= 5
    recipe = yaml.safe_load(expected.recipe) or {}
    read = ingest_files(real_data / folder, recipe.pop("data", {}), recipe=recipe)
    assert (read.result.task, read.result.parts) == (expected.task, expected.parts)
    assert read.result.bad_rows == 0
    for column, kind in expected.kinds.items():
        assert read.kind(column) == kind
    assert {column: read.figures(column).missing for column in expected.missing} == expected.missing
    if expected.labels:
        assert read.profile.label_counts == dict(sorted(expected.labels.items()))


def test_what_is_dirty_in_adult_income_is_in_the_report(ingest_files, real_data: Path) -> None:
    recipe = yaml.safe_load(FOLDERS["tabular_adult_income"].recipe)
    report = ingest_files(real_data / "tabular_adult_income", recipe.pop("data"), recipe=recipe).report
    repairs = {(repair.column, repair.says): repair.rows for repair in report.repairs}
    assert repairs["column_7", "'?' says that there is no value"] == 2809
    assert repairs["column_2", "white space around the value"] == 48842
    assert report.warnings == [
        "the test part has labels that the training part does not have: '<=50K.', '>50K.'",
    ]

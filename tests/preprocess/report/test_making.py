"""The data report, made of an ingested and a prepared dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.preprocess.report.preparation import _left
from services.preprocess.spec import report_spec
from services.preprocess.stage import preprocess
from tests.preprocess.conftest import prepare_folder, write_ingested
from tidemill.contracts import parse_recipe
from tidemill.jobs.report import Inputs, SilentReport

ROWS = 60


def reported(folder: Path, table: pa.Table, roles: dict[str, str], task: str, **recipe: Any) -> tuple[Any, str, Any]:
    """``report.json``, ``report.html`` and the result of the job."""
    write_ingested(folder / "ingested", {"data": table}, task, roles)
    prepared = prepare_folder(folder, task, recipe.get("data", {}), recipe.get("privacy"))
    inputs = Inputs({"dataset": folder / "ingested", "prepared": prepared.folder})
    result = preprocess(report_spec(task, parse_recipe(recipe)), inputs, folder / "reported", SilentReport())
    made = folder / "reported" / "report"
    return json.loads((made / "report.json").read_text()), (made / "report.html").read_text(), result


def test_personal_data_that_is_left_in_numbers_and_nested_values_is_counted(tmp_path: Path) -> None:
    table = pa.table(
        {
            "card": [4111_1111_1111_1111] * ROWS,
            "contact": [{"mails": [f"anna{n}@firm.org"]} for n in range(ROWS)],
            "note": [f"ask bob{n}@firm.org" for n in range(ROWS)],
            "y": [("a", "b")[n % 2] for n in range(ROWS)],
        }
    )
    recipe: dict[str, Any] = {
        "data": {"quality": {"max_personal_data": 0}},
        "privacy": {"detect": ["payment_card", "email"], "treatment": "keep"},
    }  # fmt: skip
    report, _, result = reported(tmp_path, table, {"label": "y"}, "tabular-classification", **recipe)
    assert report["personal_left"] == {"payment_card": ROWS, "email": 2 * ROWS}
    assert [finding["rule"] for finding in report["gate"] if not finding["kept"]] == ["max_personal_data"]
    assert len(result.broken) == 1


def test_numbers_that_are_treated_are_not_in_the_report(tmp_path: Path) -> None:
    table = pa.table(
        {
            "contact": [138_0013_8000 + n for n in range(ROWS)],
            "amount": [4_155_552_000 + 7 * n for n in range(ROWS)],
            "y": [("a", "b")[n % 2] for n in range(ROWS)],
        }
    )
    recipe: dict[str, Any] = {"privacy": {"detect": ["phone"], "regions": ["CN"]}}
    report, page, _ = reported(tmp_path, table, {"label": "y"}, "tabular-classification", **recipe)
    assert report["personal_left"] == {"phone": 0}
    assert "13800138" not in page + json.dumps(report)
    assert "Nothing of phone is left." in page
    assert "4155552" in json.dumps(report)


def test_the_page_says_that_names_were_not_counted_again() -> None:
    both = _left({"email": 0}, ["email", "person", "address"])
    assert both == (
        "Nothing of email is left. "
        "What is left of address, person was not counted: a model finds it, and may miss some."
    )
    assert _left({}, ["person"]).startswith("What is left of person was not counted")
    assert _left({"email": 3}, ["email"]) == "3 findings are left in the prepared data."


def test_the_page_shows_the_most_frequent_words(tmp_path: Path) -> None:
    texts = [f"zebras gallop {n}" for n in range(ROWS)]
    table = pa.table({"t": texts, "y": [("a", "b")[n % 2] for n in range(ROWS)]})
    _, page, _ = reported(tmp_path, table, {"text": "t", "label": "y"}, "text-classification")
    assert "Most frequent words" in page
    assert "zebras" in page.partition("Most frequent words")[2]

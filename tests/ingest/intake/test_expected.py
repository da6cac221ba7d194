"""The recipe's schema contract: columns that have to be there, values that have to be of their type."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.errors import InvalidInput

RECIPE = {"until": "prepared", "task": "tabular-classification"}


def table(column: str, values: list[str]) -> dict[str, bytes]:
    labels = [f'"{value}",{"yes" if n % 2 else "no"}' for n, value in enumerate(values)]
    return {"t.csv": "\n".join([f"{column},label", *labels, ""]).encode()}


def parquet(**columns: Any) -> dict[str, bytes]:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return {"t.parquet": out.getvalue()}


def test_an_absent_column_fails_the_run_and_the_nearest_is_named(ingest_files) -> None:
    files = table("Age", ["1", "2", "3", "4"])
    with pytest.raises(InvalidInput) as error:
        ingest_files(files, {"expected": {"columns": {"age": "integer"}}}, recipe=RECIPE)
    assert str(error.value) == (
        "t.csv has no column 'age' (data.expected.columns); its columns are 'Age', 'label'; did you mean 'Age'? "
        "correct the dataset, or the names in the recipe"
    )


@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [
        ("integer", ["1", " -2 ", "+3", "007", "?", ""], ["1.0", "1e3", "one", "0x1F", "１２", "1 2"]),
        ("number", ["1", "-2.5", ".5", "3.", "1e-3", "NaN", "+1"], ["1,5", "1.2.3", "inf", "$3", "e5"]),
        ("boolean", ["true", "No", "1", "0", "是", "否"], ["maybe", "2", "truee"]),
        (
            "date",
            ["2026-01-31", "2026/1/3", "2026年1月31日", "2026-01-31T23:59:59Z"],
            ["31.01.2026", "2026-13-01", "1"],
        ),
        ("text", ["anything", "1"], []),
        ("category", ["a", "红"], []),
    ],
)
def test_values_have_to_be_of_their_type(ingest_files, type: str, good: list[str], bad: list[str]) -> None:
    data = {"expected": {"columns": {"x": type}}, "on_bad_row": "drop", "label": "label"}
    read = ingest_files(table("x", good * 3 + bad), data, recipe=RECIPE)
    assert [row["x"].strip() for row in read.rows()] == [value.strip() for value in good * 3]
    assert read.result.bad_rows == len(bad)
    assert read.kind("x") == type


def test_a_decimal_comma_is_a_number_when_the_recipe_says_so(ingest_files) -> None:
    data = {
        "expected": {"columns": {"x": "number"}}, "types": {"decimal_comma": True}, "on_bad_row": "drop",
        "label": "label",
    }  # fmt: skip
    read = ingest_files(table("x", ["1,5", "2", "-,5", "1.5"]), data, recipe=RECIPE)
    assert [row["x"] for row in read.rows()] == ["1,5", "2", "-,5"]
    numbers = read.figures("x").numbers
    assert numbers is not None
    assert (numbers.minimum, numbers.maximum) == (-0.5, 2.0)


def test_typed_files_are_held_to_the_contract_too(ingest_files) -> None:
    files = parquet(x=[1.0, 2.0, 2.5, None], label=["a", "b", "a", "b"])
    data = {"expected": {"columns": {"x": "integer"}}, "on_bad_row": "drop", "label": "label"}
    assert [row["x"] for row in ingest_files(files, data, recipe=RECIPE).rows()] == [1.0, 2.0, None]
    with pytest.raises(InvalidInput, match="every row is bad"):
        ingest_files(parquet(x=[True, False], label=["a", "b"]), data, recipe=RECIPE)
    nested = parquet(x=[[1], [2]], y=[1, 2], label=["a", "b"])
    with pytest.raises(InvalidInput, match=r"t.parquet, column 'x' holds bytes, lists or structures"):
        ingest_files(nested, data, recipe=RECIPE)


def test_the_declared_type_is_the_kind_whatever_the_values_look_like(ingest_files) -> None:
    files = table("postcode", ["01067", "10115", "20095", "80331"] * 3)
    assert ingest_files(files, {"label": "label"}, recipe=RECIPE).kind("postcode") == "integer"
    data = {"label": "label", "expected": {"columns": {"postcode": "category"}}}
    assert ingest_files(files, data, recipe=RECIPE).kind("postcode") == "category"

"""k-anonymity and l-diversity of tables."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pytest

from services.preprocess.privacy import anonymity, at_risk, require
from tidemill.contracts.privacy import Anonymity
from tidemill.errors import InvalidInput

# The hospital table of Machanavajjhala et al. (2007), figure 2: 4-anonymous, and all of its last class have cancer.
HOSPITAL = pa.table(
    {
        "zip": ["130**"] * 4 + ["1485*"] * 4 + ["130**"] * 4,
        "age": ["<30"] * 4 + [">=40"] * 4 + ["3*"] * 4,
        "condition": [
            *("heart", "heart", "viral", "viral"), *("cancer", "heart", "viral", "viral"), *["cancer"] * 4,
        ],
    }
)  # fmt: skip


def rule(**changes):
    return Anonymity.model_validate({"quasi_identifiers": ["zip", "age"], "sensitive": "condition", "k": 4, **changes})


def test_the_published_example_is_4_anonymous_and_not_2_diverse():
    report = anonymity(HOSPITAL, rule())
    assert (report.rows, report.classes, report.k, report.l, report.reached) == (12, 3, 4, 1, True)
    assert report.diversity == {"1": 1, "2": 1, "3": 1}
    diverse = anonymity(HOSPITAL, rule(l=2))
    assert (diverse.reached, diverse.classes_below, diverse.rows_at_risk) == (False, 1, 4)


def test_what_is_suppressed_leaves_a_table_that_reaches_the_rule():
    wanted = rule(l=2)
    risky = at_risk(HOSPITAL, wanted)
    assert risky.tolist() == [False] * 8 + [True] * 4
    assert anonymity(HOSPITAL.filter(pa.array(~risky)), wanted).reached


def test_the_report_holds_counts_and_no_values():
    text = json.dumps(anonymity(HOSPITAL, rule(k=5, l=3)).as_json())
    assert not any(value in text for value in ("130**", "1485*", "cancer", "heart", ">=40"))
    assert json.loads(text)["worst"] == [
        {"rows": 4, "distinct": 1}, {"rows": 4, "distinct": 2}, {"rows": 4, "distinct": 3},
    ]  # fmt: skip


def test_the_failing_rule_says_which_column_to_generalise():
    with pytest.raises(InvalidInput, match=r"4 of 12 rows are in 1 classes that do not reach k = 4, l = 2; .*'age'"):
        require(anonymity(HOSPITAL, rule(l=2)))
    require(anonymity(HOSPITAL, rule()))


def test_a_missing_value_is_a_value_like_others():
    table = pa.table({"zip": [None, None, "1", "1"], "age": [1, 1, 2, 2]})
    assert anonymity(table, Anonymity(quasi_identifiers=["zip", "age"], k=2)).k == 2


def test_a_table_without_rows_has_no_class():
    report = anonymity(HOSPITAL.slice(0, 0), rule(l=2))
    assert (report.classes, report.k, report.reached) == (0, 0, True)
    assert at_risk(HOSPITAL.slice(0, 0), rule()).tolist() == []


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(
        InvalidInput, match="names the column 'street', which is not there; there are zip, age, condition"
    ):
        anonymity(HOSPITAL, Anonymity(quasi_identifiers=["street"]))


def test_many_columns_of_many_values_do_not_overflow():
    rows = 20_000
    table = pa.table({f"c{at}": np.arange(rows) * 7919 % (rows - at) for at in range(12)})
    report = anonymity(table, Anonymity(quasi_identifiers=table.column_names, k=2))
    assert (report.classes, report.k) == (rows, 1)


def test_generalising_helps_adult_income_to_reach_k(real_data, treat):
    with next(iter(sorted((real_data / "tabular_adult_income").glob("*train*")))).open() as file:
        rows = [[value.strip() for value in row] for row in csv.reader(file)]
    width = max(map(len, rows))
    rows = [row for row in rows if len(row) == width and row[0].isdigit()]
    ages, education, sex, income = ([row[at] for row in rows] for at in (0, 3, 9, width - 1))
    table = pa.table({"age": list(map(int, ages)), "education": education, "sex": sex, "income": income})
    wanted = Anonymity(quasi_identifiers=["age", "education", "sex"], sensitive="income", k=5, l=2)
    before = anonymity(table, wanted)
    columns = {
        "age": {"treatment": "generalise", "step": 20},
        "education": {"treatment": "generalise", "keep_characters": 1},
    }
    treated = treat({"columns": columns}, table, {"age": "integer"})
    after = anonymity(treated.table, wanted)
    assert before.rows == after.rows > 30_000
    assert before.rows_at_risk > 1_000
    assert after.rows_at_risk < before.rows_at_risk / 4
    kept = treated.table.filter(pa.array(~at_risk(treated.table, wanted)))
    assert anonymity(kept, wanted).reached
    assert kept.num_rows > 0.95 * after.rows

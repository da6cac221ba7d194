"""Columns that are personal data as a whole."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from tidemill.errors import InvalidInput

PEOPLE = pa.table(
    {
        "name": ["Ann Lee", "Bob Ray", None, "王小明"],
        "mail": ["ann@firm.org", "bob@firm.org", None, "ANN@firm.org"],
        "age": [34, 39, None, 71],
        "income": [1234.5, 99.0, None, 0.25],
        "born": pa.array(
            [datetime(1990, 5, 17), datetime(1986, 1, 2), None, datetime(1953, 12, 31)], pa.timestamp("us")
        ),
        "postcode": ["SW1A 1AA", "M1 1AE", None, "100080"],
        "text": ["ask ann@firm.org", "b", "c", "d"],
    }
)
KINDS = {"age": "integer", "income": "number", "born": "date"}


def test_a_hashed_mail_is_the_hash_of_the_same_mail_in_a_text(treat):
    treated = treat({"detect": ["email"], "treatment": "hash", "columns": {"mail": "hash"}}, PEOPLE, KINDS)
    assert treated["text"][0] == f"ask {treated['mail'][0]}"
    assert treated["mail"][0] == treated["mail"][3]
    assert treated["mail"][2] is None
    assert treated.counts == {"email": 1, "column mail": 3}


def test_a_named_column_is_not_looked_through_as_well(treat):
    treated = treat({"detect": "structural", "columns": {"mail": "keep"}}, PEOPLE, KINDS)
    assert treated["mail"] == PEOPLE["mail"].to_pylist()
    assert treated.counts == {"email": 1}


def test_numbers_dates_and_texts_are_generalised_to_what_many_share(treat):
    rules = {
        "age": "generalise",
        "income": {"treatment": "generalise", "step": 500},
        "born": "generalise",
        "postcode": {"treatment": "generalise", "keep_characters": 3},
        "mail": "generalise",
        "name": "generalise",
    }
    treated = treat({"columns": rules}, PEOPLE, KINDS)
    assert treated["age"] == ["30–39", "30–39", None, "70–79"]
    assert treated["income"] == ["1000–1500", "0–500", None, "0–500"]
    assert treated["born"] == ["1990–1999", "1980–1989", None, "1950–1959"]
    assert treated["postcode"] == ["SW1*", "M1 *", None, "100*"]
    assert treated["mail"] == ["*@firm.org", "*@firm.org", None, "*@firm.org"]
    assert treated["name"] == ["<NAME>", "<NAME>", None, "<NAME>"]
    assert {treated.columns[name].kind for name in rules} == {"category"}


def test_fakes_keep_the_type_and_the_form_and_are_never_the_value(treat):
    rules = dict.fromkeys(["name", "mail", "age", "income", "born", "postcode"], "fake")
    treated = treat({"columns": rules}, PEOPLE, KINDS)
    for name in rules:
        before, after = PEOPLE[name].to_pylist(), treated[name]
        assert after[2] is None
        assert all(
            new != old and type(new) is type(old) for new, old in zip(after, before, strict=True) if old is not None
        )
        assert treated.table.schema.field(name).type in (PEOPLE.schema.field(name).type, pa.large_string())
    assert [len(str(age)) for age in treated["age"] if age] == [2, 2, 2]
    assert treated["mail"][0] == treated["mail"][3]
    assert len(treated["name"][0].split()) == 2
    assert not treated["name"][3].isascii()
    assert [len(code) for code in treated["postcode"] if code] == [8, 6, 6]


def test_masks_are_the_column_s_name_and_dropped_columns_are_gone(treat):
    treated = treat({"columns": {"name": "mask", "mail": "drop"}}, PEOPLE, KINDS)
    assert treated["name"] == ["<NAME>", "<NAME>", None, "<NAME>"]
    assert "mail" not in treated.columns
    assert "mail" not in treated.table.column_names


@pytest.mark.parametrize(
    ("rules", "roles", "kinds", "message"),
    [
        ({"nme": "mask"}, {}, {}, "privacy.columns names 'nme', which is not a column; there are name, mail"),
        ({"text": "drop"}, {"text": "text"}, {}, "drops 'text', which the task needs as its text"),
        ({"name": "hash"}, {}, {"name": "image"}, "'name' holds image values, which can only be kept or dropped"),
        ({"name": "fake"}, {}, {"name": "boolean"}, "'name' is true or false, which no fake hides"),
    ],
)
def test_a_rule_that_cannot_be_kept_says_why(treat, rules, roles, kinds, message):
    with pytest.raises(InvalidInput, match=message):
        treat({"columns": rules}, PEOPLE, KINDS | kinds, roles)

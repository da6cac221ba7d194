"""Personal data in columns of numbers and in nested values."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from services.preprocess.number_samples import keep_samples, read_number_samples
from services.preprocess.privacy.numbers import NumberSample, kinds_in
from tests.preprocess.conftest import prepare_folder, write_ingested
from tidemill.contracts.privacy import STRUCTURAL

CARD = 4111_1111_1111_1111
MOBILE = 138_0013_8000
REGIONS = ("US", "GB", "CN", "DE")
NUMBERS = pa.table({"card": [CARD, 12, None], "phone": [MOBILE, 7, MOBILE], "n": [1, 2, 3]})
KINDS = {"card": "integer", "phone": "integer", "n": "integer"}
NESTED = pa.table({"meta": [{"m": "joe@corp.com", "all": [{"to": ["a@b.org", None]}], "n": 3}, None, {"m": "no"}]})


def sample(*values: int) -> NumberSample:
    return NumberSample(len(values), [str(value) for value in values])


@pytest.mark.parametrize("treatment", ["mask", "generalise", "hash", "fake", "token"])
def test_a_number_that_is_treated_goes_missing_and_the_type_stays(treat, treatment):
    treated = treat({"detect": "structural", "treatment": treatment}, NUMBERS, KINDS)
    assert (treated["card"], treated["phone"], treated["n"]) == ([None, 12, None], [None, 7, None], [1, 2, 3])
    assert treated.table.schema.types == NUMBERS.schema.types
    assert treated.counts == {"payment_card": 1, "phone": 2}


def test_a_row_is_dropped_for_a_number(treat):
    treated = treat({"detect": "structural", "entities": {"payment_card": "drop"}}, NUMBERS, KINDS)
    assert treated["phone"] == [7, None]


def test_numbers_that_are_kept_stay_and_are_counted(treat):
    treated = treat({"detect": "structural", "treatment": "keep"}, NUMBERS, KINDS)
    assert treated.table == NUMBERS
    assert treated.counts == {"payment_card": 1, "phone": 2}


def test_numbers_with_missing_ones_are_often_floating_point(treat):
    table = pa.table({"手机": [float(MOBILE), None, 1.5, float("nan")]})
    assert treat({"detect": ["phone"]}, table, {"手机": "number"})["手机"][:3] == [None, None, 1.5]


def test_the_label_and_columns_that_the_recipe_keeps_are_left_alone(treat):
    privacy = {"detect": "structural", "columns": {"card": "keep"}}
    treated = treat(privacy, NUMBERS, KINDS, {"label": "phone"})
    assert treated.table == NUMBERS


def test_a_column_whose_name_says_nothing_is_told_by_its_values(treat):
    table = pa.table({"contact": [MOBILE, MOBILE + 7, 99]})
    rule = {"detect": "structural"}
    assert treat(rule, table, {"contact": "integer"})["contact"] == table["contact"].to_pylist()
    told = treat(rule, table, {"contact": "integer"}, numbers={"contact": sample(MOBILE, MOBILE + 7, 99)})
    assert told["contact"] == [None, None, 99]


@pytest.mark.parametrize("digits", range(9, 17))
@pytest.mark.parametrize("name", ["id", "amount", "account", "x"])
def test_numbers_that_pass_a_check_digit_by_chance_are_not_emptied(name, digits):
    chance = random.Random(digits)
    values = [chance.randrange(10 ** (digits - 1), 10**digits) for _ in range(500)]
    assert kinds_in(name, sample(*values), STRUCTURAL, REGIONS) == frozenset()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("mobilePhone", "phone"), ("TEL", "phone"), ("联系电话", "phone"), ("card_no", "payment_card"),
     ("卡号", "payment_card"), ("SSN", "us_ssn"), ("身份证号", "cn_resident_id")],
)  # fmt: skip
def test_a_name_says_what_a_column_holds(name, kind):
    assert kinds_in(name, None, STRUCTURAL, REGIONS) == {kind}


@pytest.mark.parametrize(
    "name", ["phone_minutes", "card_amount", "discard", "hotel", "cardinality", "phone_id", "通话时长"]
)
def test_a_measure_is_no_personal_data(name):
    values = sample(*range(1_250_000, 1_250_100))
    assert kinds_in(name, values, STRUCTURAL, REGIONS) == frozenset()


def test_texts_within_nested_values_are_treated(treat):
    treated = treat({"detect": ["email"]}, NESTED, {"meta": "nested"})
    assert treated["meta"] == [
        {"m": "<EMAIL>", "all": [{"to": ["<EMAIL>", None]}], "n": 3}, None, {"m": "no", "all": None, "n": None},
    ]  # fmt: skip
    assert treated.counts == {"email": 2}
    assert treat({"detect": ["email"], "treatment": "drop"}, NESTED, {"meta": "nested"})["meta"][0] is None
    assert treat({"detect": ["email"], "treatment": "keep"}, NESTED, {"meta": "nested"}).table["meta"].to_pylist() == (
        NESTED["meta"].to_pylist()
    )


def test_tokens_of_nested_texts_are_in_the_vault_beside_those_of_texts(treat):
    table = NESTED.append_column("text", pa.array(["c@d.org", "e@f.org", None]))
    treated = treat({"detect": ["email"], "treatment": "token"}, table, {"meta": "nested", "text": "text"})
    assert [len(own or ()) for own in treated.tokens.to_pylist()] == [3, 1, 0]
    alone = treat({"detect": "structural", "treatment": "token"}, NUMBERS, KINDS)
    assert alone.tokens.to_pylist() == [None] * 3


def test_answers_are_not_searched_but_moved(treat):
    answers = [{"text": ["now"], "answer_start": [18], "by": "joe@corp.com"}]
    table = pa.table({"context": ["ask anna@firm.org now"], "answers": answers})
    roles = {"context": "context", "answers": "answers"}
    kinds = {"context": "text", "answers": "nested"}
    treated = treat(
        {"detect": ["email"]}, table.append_column("meta", NESTED["meta"][:1]), {**kinds, "meta": "nested"}, roles
    )
    assert treated["answers"] == [{"text": ["now"], "answer_start": [12]}]
    assert treated.counts == {"email": 3}


def test_a_dataset_is_treated_and_its_shards_know_the_first_values_of_all(tmp_path: Path) -> None:
    rows = 40
    table = pa.table(
        {
            "contact": [str(MOBILE + n) for n in range(rows)],
            "card": [CARD] * rows,
            "meta": [{"m": f"joe{n}@corp.com"} for n in range(rows)],
            "amount": [1_234_567_890_123 + n for n in range(rows)],
            "y": [("a", "b")[n % 2] for n in range(rows)],
        }
    )
    write_ingested(tmp_path / "ingested", {"data": table}, "tabular-classification", {"label": "y"})
    keep_samples(tmp_path / "ingested", tmp_path)
    assert read_number_samples(tmp_path) == read_number_samples(tmp_path / "ingested")
    data: dict[str, Any] = {"types": {"columns": {"contact": "integer"}}, "drop_duplicates": False}
    prepared = prepare_folder(tmp_path, "tabular-classification", data, {"detect": "structural"})
    done = [row for part in ("train", "validation", "test") for row in prepared.rows(part)]
    assert {row["card"] for row in done} == {row["contact"] for row in done} == {None}
    assert {row["meta"]["m"] for row in done} == {"<EMAIL>"}
    assert sorted(row["amount"] for row in done) == table["amount"].to_pylist()
    counts = prepared.step("treat personal data in texts")["counts"]
    assert {kind: n for kind, n in counts.items() if n} == {"email": rows, "payment_card": rows, "phone": rows}

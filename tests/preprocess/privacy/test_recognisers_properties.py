"""Numbers with check digits: any right one is found anywhere in a sentence, no one with a digit changed is."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.preprocess.privacy.entities import structural
from services.preprocess.privacy.entities.checksums import (
    luhn_check_digit,
    mod_11_2,
    mod_11_10,
    mod_97,
    nhs_check,
    weighted_731,
)
from services.preprocess.privacy.entities.iban_registry import STRUCTURES, parts
from services.preprocess.privacy.key import Draw, keyed_digest
from tidemill.contracts.privacy import STRUCTURAL

WORDS = st.lists(st.sampled_from(["see", "the", "报告", "list", "of", "我们", "things", "und", "dann"]), max_size=6)
GAPS = st.sampled_from([" ", "，", ", ", "：", "（"])


def sentences(numbers: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    return st.builds(
        lambda before, gap, number, after: (number, f"{' '.join(before)}{gap}{number}。 {' '.join(after)}"),
        WORDS, GAPS, numbers, WORDS,
    )  # fmt: skip


@st.composite
def ibans(draw: st.DrawFn) -> str:
    country = draw(st.sampled_from(sorted(STRUCTURES)))
    alphabets = {"n": "0123456789", "a": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    alphabets["c"] = alphabets["n"] + alphabets["a"]
    account = "".join(
        draw(st.text(alphabets[kind], min_size=length, max_size=length)) for length, kind in parts(STRUCTURES[country])
    )
    return f"{country}{98 - mod_97(account + country + '00'):02d}{account}"


@st.composite
def cards(draw: st.DrawFn) -> str:
    prefix, length = draw(st.sampled_from([("4", 16), ("51", 16), ("37", 15), ("6011", 16), ("36", 14), ("62", 19)]))
    body = prefix + draw(st.text("0123456789", min_size=length - len(prefix) - 1, max_size=length - len(prefix) - 1))
    return body + luhn_check_digit(body)


@st.composite
def resident_ids(draw: st.DrawFn) -> str:
    born = draw(st.dates(date(1930, 1, 1), date(2020, 12, 31)))
    body = (
        f"{draw(st.sampled_from(['110105', '310115', '440305', '650102']))}{born:%Y%m%d}{draw(st.integers(0, 999)):03d}"
    )
    return body + mod_11_2(body)


@settings(max_examples=60, deadline=None)
@given(sentences(ibans()))
def test_every_right_iban_is_found(found, case):
    number, sentence = case
    assert found(sentence, ["iban"]) == [("iban", number)]


@settings(max_examples=60, deadline=None)
@given(ibans(), st.integers(2, 14), st.integers(1, 9))
def test_an_iban_with_one_digit_changed_is_not_found(found, number, at, by):
    assume(number[at].isdigit())
    wrong = number[:at] + str((int(number[at]) + by) % 10) + number[at + 1 :]
    assert found(f"account {wrong}", ["iban"]) == []


@settings(max_examples=60, deadline=None)
@given(sentences(cards()))
def test_every_right_card_number_is_found(found, case):
    number, sentence = case
    assert found(sentence, ["payment_card"]) == [("payment_card", number)]


@settings(max_examples=60, deadline=None)
@given(cards(), st.integers(0, 12), st.integers(1, 9))
def test_a_card_number_with_one_digit_changed_is_not_found(found, number, at, by):
    wrong = number[:at] + str((int(number[at]) + by) % 10) + number[at + 1 :]
    assert found(f"card {wrong}", ["payment_card"]) == []


@settings(max_examples=60, deadline=None)
@given(sentences(resident_ids()))
def test_every_right_resident_id_is_found(found, case):
    number, sentence = case
    assert found(sentence, ["cn_resident_id"]) == [("cn_resident_id", number)]


@settings(max_examples=60, deadline=None)
@given(resident_ids(), st.integers(0, 16), st.integers(1, 9))
def test_a_resident_id_with_one_digit_changed_is_not_found(found, number, at, by):
    wrong = number[:at] + str((int(number[at]) + by) % 10) + number[at + 1 :]
    assert found(f"身份证{wrong}", ["cn_resident_id"]) == []


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_looked_at_and_findings_are_in_it_and_apart(found, text):
    for name, value in found(text):
        assert name in STRUCTURAL
        assert value


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([name for name in STRUCTURAL if name != "phone"]), st.integers(0, 2**64))
def test_a_fake_has_right_check_digits_and_counts_as_nobody_s(name, number):
    (entity,) = structural([name], [])
    samples = {
        "email": "a@b.org", "payment_card": "5105105105105100", "iban": "FR1420041010050500013M02606",
        "ip_address": "8.8.8.8", "us_ssn": "123-45-6789", "uk_nino": "AB123456C", "uk_nhs": "943 476 5919",
        "cn_resident_id": "11010519491231002X", "de_tax_id": "86095742719", "de_id_card": "T220001293",
    }  # fmt: skip
    fake = entity.fake(samples[name], Draw(keyed_digest(b"k" * 16, str(number))))
    digits = "".join(filter(str.isdigit, fake))
    checks = {
        "payment_card": lambda: luhn_check_digit(digits[:-1]) == digits[-1],
        "iban": lambda: mod_97(fake[4:] + fake[:4]) == 1,
        "uk_nhs": lambda: nhs_check(digits[:9]) == int(digits[9]),
        "cn_resident_id": lambda: mod_11_2(fake[:17]) == fake[17],
        "de_tax_id": lambda: mod_11_10(digits[:10]) == digits[10],
        "de_id_card": lambda: weighted_731(fake[:9]) == fake[9],
    }
    assert entity.reserved(fake)
    assert not entity.reserved(samples[name])
    assert checks.get(name, lambda: True)()


@pytest.mark.parametrize("country", sorted(STRUCTURES))
def test_a_fake_account_of_every_country_is_a_right_one_of_its_structure(found, country):
    (entity,) = structural(["iban"], [])
    account = "".join({"n": "1", "a": "A", "c": "7"}[kind] * length for length, kind in parts(STRUCTURES[country]))
    real = f"{country}{98 - mod_97(account + country + '00'):02d}{account}"
    fake = entity.fake(real, Draw(b"seed" + country.encode()))
    assert found(fake, ["iban"]) == [("iban", fake)]
    assert found(fake, ["iban"], reserved=False) == []
    assert fake[:2] == country

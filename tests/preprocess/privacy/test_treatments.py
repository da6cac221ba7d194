"""Personal data in text columns, treated in a Daft frame."""

from __future__ import annotations

import pickle

import cloudpickle
import pyarrow as pa
import pytest

from services.preprocess.privacy import find, masked, privacy_steps
from services.preprocess.privacy.text_scan import TextScan
from tidemill.contracts.privacy import STRUCTURAL, Privacy
from tidemill.datasets import Column, DatasetSchema
from tidemill.errors import InvalidInput

KEY = b"a key of the tests, 32 bytes ..."
TEXTS = pa.table(
    {
        "text": [
            "write to Anna@Mail.example.net or anna@mail.example.net",
            "nothing here",
            None,
            "卡号4012888888881881，电话１３８１２３４５６７８",
            "from 8.8.8.8",
        ]
    }
)


def texts(*values: str | None) -> pa.Table:
    return pa.table({"text": pa.array(values, pa.string())})


def test_masks_say_what_was_there_and_are_counted(treat):
    treated = treat({"detect": "structural"}, TEXTS)
    assert treated["text"] == [
        "write to <EMAIL> or <EMAIL>", "nothing here", None, "卡号<PAYMENT_CARD>，电话<PHONE>", "from <IP_ADDRESS>",
    ]  # fmt: skip
    assert treated.counts == {"email": 2, "payment_card": 1, "phone": 1, "ip_address": 1}


def test_a_hash_is_the_same_for_the_same_value_however_it_is_written_and_another_for_another_key(treat):
    rule = {"detect": ["email", "phone"], "treatment": "hash"}
    (row, *_) = treat(rule, TEXTS)["text"]
    _, _, first, _, second = row.split()
    assert first == second
    assert len(first) == 16
    assert int(first, 16)
    other = treat(rule, TEXTS, key=b"another key, also long enough")["text"][0]
    assert other != row
    both = treat(rule, texts("tel +49 30 901820", "Tel. 030/901820"))["text"]
    assert both[0].split()[-1] == both[1].split()[-1]


def test_a_hash_of_one_kind_is_not_the_hash_of_another(treat):
    hashes = treat({"detect": "structural", "treatment": "hash"}, texts("a@b.org", "8.8.8.8"))["text"]
    assert hashes[0] != hashes[1]


def test_generalised_values_leave_what_many_share(treat):
    values = [
        "anna@mail.example.net", "+49 30 901820", "4012888888881881", "DE89370400440532013000", "8.8.4.4",
        "2001:4860:4860::8888", "123-45-6789", "11010519491231002X", "AB123456C",
    ]  # fmt: skip
    assert treat({"detect": "structural", "treatment": "generalise"}, texts(*values))["text"] == [
        "*@mail.example.net", "+49…", "****1881", "DE**", "8.8.4.0/24", "2001:4860:4860::/48", "123-**-****",
        "11****194*********", "<UK_NINO>",
    ]  # fmt: skip


@pytest.mark.parametrize("treatment", ["mask", "hash", "generalise", "token", "fake"])
def test_after_a_treatment_nothing_personal_is_left(treat, treatment):
    rows = ["anna@mail.example.net", "tel +49 30 901820", "4012888888881881", "DE89370400440532013000", "8.8.4.4",
            "2001:4860:4860::8888", "123-45-6789", "11010519491231002X", "AB123456C", "943 476 5919", "86095742719",
            "T220001293", "电话13812345678", "call 020 7946 1234", "phone 467 3395"]  # fmt: skip
    treated = treat({"detect": "structural", "treatment": treatment}, texts(*rows))["text"]
    assert all(new != old for new, old in zip(treated, rows, strict=True))
    left = find(pa.array(treated), STRUCTURAL, ["US", "GB", "CN", "DE"], reserved=False)
    assert left.counts() == {}


def test_a_fake_is_the_same_everywhere_and_keeps_the_form(treat):
    rule = {"detect": "structural", "treatment": "fake"}
    first = treat(rule, texts("mail anna@firm.org", "pay 4012 8888 8888 1881", "ssn 123-45-6789"))["text"]
    again = treat(rule, texts("x", "ssn 123 45 6789", "ANNA@firm.org?", "pay 4012888888881881"))["text"]
    assert first[0].split()[1] == again[2].rstrip("?")
    assert first[0].endswith("@example.com")
    assert first[1].replace(" ", "") == again[3].replace(" ", "")
    assert first[1].count(" ") == 4
    assert first[2].replace("-", " ") == again[1]


def test_a_fake_number_is_of_the_same_country(treat):
    rule = {"detect": ["phone"], "treatment": "fake"}
    numbers = [
        "(415) 555-2671",
        "+44 20 7946 1234",
        "020 7946 1234",
        "+49 30 901820",
        "13812345678",
        "+39 06 698 12345",
    ]
    fakes = treat(rule, texts(*numbers))["text"]
    assert [fake[:3] for fake in fakes] == ["415", "+44", fakes[2][:3], "+49", "154", "+1 "]
    assert fakes[2].startswith("0")
    assert "555-01" in fakes[0]


def test_a_row_is_dropped_for_the_kind_that_asks_for_it_alone(treat):
    rule = {"detect": "structural", "entities": {"payment_card": "drop", "ip_address": "keep"}}
    treated = treat(rule, TEXTS)
    assert treated["text"] == ["write to <EMAIL> or <EMAIL>", "nothing here", None, "from 8.8.8.8"]
    assert treated.counts == {"email": 2, "ip_address": 1}


def test_what_is_kept_stays_as_it_was_written(treat):
    assert treat({"detect": "structural", "treatment": "keep"}, TEXTS)["text"] == TEXTS["text"].to_pylist()


def test_all_text_columns_are_treated_but_not_the_label_and_counts_add_up(treat):
    table = pa.table({"title": ["a@b.org"], "text": ["c@d.org and a@b.org"], "label": ["x@y.org"], "n": [1]})
    treated = treat({"detect": ["email"]}, table, {"n": "integer"}, {"text": "text", "label": "label"})
    assert (treated["title"], treated["text"], treated["label"]) == (["<EMAIL>"], ["<EMAIL> and <EMAIL>"], ["x@y.org"])
    assert treated.counts == {"email": 3}


def test_batches_do_not_matter(treat):
    values = [
        f"row {number}: mail{number}@firm.org or +49 30 90{number:04d}" if number % 3 else "无" for number in range(999)
    ]
    rule = {"detect": "structural", "treatment": "fake"}
    whole = treat(rule, texts(*values))
    pieces = [treat(rule, texts(*values[at : at + 100])) for at in range(0, 999, 100)]
    assert whole["text"] == [value for piece in pieces for value in piece["text"]]
    assert whole.counts["email"] == sum(piece.counts["email"] for piece in pieces)


def test_the_same_value_gives_the_same_fake_in_another_process(treat):
    scan = TextScan({"email": "fake"}, (), KEY)
    there = pickle.loads(pickle.dumps(scan))(pa.array(["mail anna@firm.org"]))
    assert there.field("text").to_pylist() == scan(pa.array(["mail anna@firm.org"])).field("text").to_pylist()


def test_steps_can_be_sent_to_a_cluster_and_do_not_show_the_key():
    schema = DatasetSchema(task="text-classification", columns=[Column(name="text", kind="text")])
    privacy = Privacy.model_validate(
        {"detect": "structural", "treatment": "token", "columns": {"text": "hash"}, "key": "env:K"}
    )
    for step in privacy_steps(privacy, schema, KEY):
        change = step.change({"text": Column(name="text", kind="text")})
        cloudpickle.loads(cloudpickle.dumps(change))
        assert "a key of the tests" not in f"{step} {change} {step.says}"
    assert "a key of the tests" not in repr(TextScan({"email": "hash"}, (), KEY))


def test_a_treatment_without_its_key_is_refused():
    schema = DatasetSchema(task="text-classification", columns=[Column(name="text", kind="text")])
    privacy = Privacy.model_validate({"detect": ["email"], "treatment": "hash", "key": "env:K"})
    with pytest.raises(InvalidInput, match=r"privacy: \{key: env:NAME\}"):
        privacy_steps(privacy, schema, None)


def test_a_region_that_is_no_country_is_refused():
    schema = DatasetSchema(task="text-classification", columns=[Column(name="text", kind="text")])
    with pytest.raises(InvalidInput, match=r"'UK' is not a country's code.*the United Kingdom is GB"):
        privacy_steps(Privacy(detect=["phone"], regions=["UK"]), schema, None)


def test_answers_move_with_the_context_they_point_into(treat):
    context = "Write to anna.long@firm.org, said Anna. Or to 8.8.8.8 then."
    said, address = context.index("Anna."), context.index("8.8.8.8")
    answers = {"text": ["Anna", "8.8.8.8", "anna.long"], "answer_start": [said, address, context.index("anna.long")]}
    table = pa.table({"context": [context, "no data"], "answers": [answers, {"text": ["no"], "answer_start": [0]}]})
    roles = {"context": "context", "answers": "answers"}
    treated = treat({"detect": "structural"}, table, {"answers": "nested"}, roles)
    new, moved = treated["context"][0], treated["answers"]
    assert moved[0]["text"] == ["Anna", "<IP_ADDRESS>", "<EMAIL>"]
    assert [
        new[at : at + len(text)] for text, at in zip(moved[0]["text"], moved[0]["answer_start"], strict=True)
    ] == moved[0]["text"]
    assert moved[1] == {"text": ["no"], "answer_start": [0]}


def test_what_a_report_shows_of_raw_rows_can_be_masked():
    shown = masked(pa.array(["call 415-555-2671", None, "fine"]), ["US"])
    assert shown.to_pylist() == ["call <PHONE>", None, "fine"]

"""A value is found in every form in which people write it, and not in what only resembles it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.erasure.documents import INSTEAD, without_value
from tidemill.erasure.subject import matcher
from tidemill.erasure.texts import OVERLAP, WINDOW, holds
from tidemill.errors import InvalidInput

MAIL = "an@x-mail.org"

FOUND = [
    (MAIL, "email", "<AN@X-MAIL.ORG>"), (MAIL, "any", "mailto:an@x-mail.org?subject=x"),
    (MAIL, "any", "file:///data/an@x-mail.org.csv.gz"),
    (MAIL, "any", "邮箱an@x-mail.org。"), (MAIL, "any", "ａｎ＠x-mail.org"), (MAIL, "any", "write to -an@x-mail.org."),
    (MAIL, "any", "an@\u200bx-mail.org"), ("an@müller.de", "any", "an@xn--mller-kva.de"),
    ("+49 151 23456789", "any", "0151/23456789"), ("+49 151 23456789", "any", "0049 151 2345 6789"),
    ("+49 151 23456789", "any", "+49 (0)151 23456789"), ("+49 151 23456789", "any", "4915123456789"),
    ("0151 23456789", "phone", "+49 151 23456789"), ("+86 138 0013 8000", "any", "电话13800138000"),
    ("4111 1111 1111 1111", "payment_card", "4111-1111-1111-1111"),
    ("DE89 3704 0044 0532 0130 00", "any", "IBAN: de89370400440532013000"),
    ("11010519491231002X", "any", "身份证11010519491231002x"),
    ("2001:DB8::7", "any", "[2001:0db8:0000:0000:0000:0000:0000:0007]:80"),
    ("192.0.2.7", "any", "192.0.2.7:8080"), ("欧阳小娜", "any", "客户欧阳小娜说"), ("欧阳小娜", "any", "欧阳 小娜"),
    ("John Smith", "any", "john\n smith's"), ("John Smith", "any", "Smith, John"),
    ("John Smith", "any", "客户John Smith说"),
    ("Jürgen Müller", "any", "JU\u0308RGEN MU\u0308LLER"), ("Straße", "address", "STRASSE"),
]  # fmt: skip
NOT_FOUND = [
    (MAIL, "any", "dan@x-mail.org"), (MAIL, "any", "d.an@x-mail.org"), (MAIL, "any", "dan-an@x-mail.org"),
    (MAIL, "any", "an@x-mail.organic"), (MAIL, "any", "an@x-mail.org.uk"),
    (MAIL, "any", "an@x-mail.org.cs"), (MAIL, "any", "an@x-mail.org-shop.de"),
    ("+49 151 23456789", "any", "0151 234567890"), ("+49 151 23456789", "any", "90151 23456789"),
    ("4111 1111 1111 1111", "any", "41111111111111112"), ("192.0.2.7", "any", "192.0.2.77"),
    ("192.0.2.7", "any", "1.192.0.2.7"), ("John Smith", "any", "John Smithers"), ("欧阳小娜", "any", "欧阳娜"),
    ("11010519491231002X", "any", "911010519491231002X"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind", "text"), FOUND)
def test_every_form_is_found(value: str, kind: Any, text: str) -> None:
    assert matcher(value, kind).found_in(text)


@pytest.mark.parametrize(("value", "kind", "text"), NOT_FOUND)
def test_what_resembles_it_is_not(value: str, kind: Any, text: str) -> None:
    assert not matcher(value, kind).found_in(text)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("", "any"), ("ab", "person"), ("娜", "any"), ("12345", "any"), ("no address", "email"), ("+49 1", "phone"),
     ("999.1", "ip_address"), ("x" * 201, "any"), ("a\x00b@c.de", "any")],
)  # fmt: skip
def test_what_would_be_everywhere_or_is_not_of_its_kind_is_refused_without_being_said(value: str, kind: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        matcher(value, kind)
    assert not value or value not in str(refused.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32-le", "gb18030", "big5"])
def test_every_encoding_is_read(encoding: str) -> None:
    text = f"客戶 歐陽小娜, {MAIL}, 12\n" * 50
    for value in ("歐陽小娜", MAIL):
        assert holds([text.encode(encoding, "ignore")], matcher(value)), encoding


@pytest.mark.parametrize(
    "written",
    [r'"\u6b27\u9633\u5c0f\u5a1c"', "%E6%AC%A7%E9%98%B3%E5%B0%8F%E5%A8%9C", "&#27431;&#38451;&#23567;&#23068;"],
)
def test_json_addresses_and_html_are_read(written: str) -> None:
    assert holds([written.encode()], matcher("欧阳小娜"))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 3 * WINDOW), st.integers(4096, 3 * WINDOW))
def test_where_windows_meet_nothing_is_missed_or_made_up(at: int, block: int) -> None:
    known = matcher(MAIL)
    for value, held in ((MAIL, True), (f"d{MAIL}", False), (f"{MAIL}a", False)):
        data = b" " * at + value.encode() + b" " * OVERLAP
        blocks = [data[start : start + block] for start in range(0, len(data), block)]
        assert holds(blocks, known) == held


def test_documents_keep_their_shape_and_their_names() -> None:
    document = {
        "name": f"of {MAIL}", "uri": "https://x/?to=an%40x-mail.org", "counts": {MAIL: 3, "dan@x-mail.org": 4},
        "errors": [f"row 3: {MAIL} is no label", None, 1.5, True],
    }  # fmt: skip
    assert without_value(document, matcher(MAIL)) == {
        "name": f"of {MAIL}", "uri": INSTEAD, "counts": {INSTEAD: 3, "dan@x-mail.org": 4},
        "errors": [f"row 3: {INSTEAD} is no label", None, 1.5, True],
    }  # fmt: skip


def test_a_message_in_base64_is_read() -> None:
    import base64

    body = base64.b64encode(f'{{"uri": "file:///{MAIL}"}}'.encode()).decode()
    cleaned = without_value({"body": body}, matcher(MAIL))
    assert base64.b64decode(cleaned["body"]).decode() == f'{{"uri": "file:///{INSTEAD}"}}'

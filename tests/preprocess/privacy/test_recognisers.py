"""Each kind of personal data by the examples of its issuer or standard, and by what only looks like it."""

from __future__ import annotations

import pytest

RIGHT = {
    "email": [
        "simple@example.com", "first.last@sub.example.co.uk", "user+tag@example.org", "o'brien@example.ie",
        "x@example.museum", "josé@example.es", "иван@пример.рф", "a_b-c%d@host-name.example.com",
        "someone@xn--80ak6aa92e.com",
    ],
    "phone": [
        "+1 415 555 2671", "+44 20 7946 0958", "+49 30 901820", "+86 138 1234 5678", "+33 1 42 68 53 00",
        "(415) 555-2671",
        "415-555-2671", "415.555.2671", "020 7946 0018", "07700 900123", "030 901820", "0151 23456789", "13812345678",
        "010-62781234", "0086 138 1234 5678", "+49 (0)30 901820", "+1-415-555-2671 ext. 12",
    ],
    "payment_card": [
        "4111 1111 1111 1111", "4012888888881881", "5555 5555 5555 4444",
        "2223 0031 2200 3222", "3782 822463 10005", "371449635398431", "6011 1111 1111 1117", "3530 1113 3330 0000",
        "30569309025904", "6200 0000 0000 0005", "4222222222222", "6759649826438453", "4917-6100-0000-0000",
    ],
    "iban": [
        "GB29 NWBK 6016 1331 9268 19", "DE89370400440532013000", "FR1420041010050500013M02606", "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S", "ch93 0076 2011 6238 5295 7", "LC55HEMM000100010012001200023015",
        "SC18SSCB11010000000000001497USD", "BR1800360305000010009795493C1", "BE68 5390 0754 7034",
    ],
    "ip_address": [
        "8.8.8.8", "192.168.0.1", "255.1.2.3", "2001:4860:4860::8888", "fe80::1ff:fe23:4567:890a",
        "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "::ffff:192.0.2.128",
    ],
    "us_ssn": ["123-45-6789", "001-01-0001", "899-99-9999", "665-12-3456"],
    "uk_nino": ["AB123456C", "AB 12 34 56 C", "JG103759A", "ab123456d", "AA 123456 A"],
    "uk_nhs": ["943 476 5919", "401 023 2137"],
    "cn_resident_id": ["11010519491231002X", "440524198001010013", "34052419800101001x"],
    "de_tax_id": ["86095742719", "47036892816", "65929970489", "57549285017", "25768131411", "86 095 742 719"],
    "de_id_card": ["T220001293", "L01X00T471", "LZ6311T475"],
}  # fmt: skip
WRONG = {
    "email": ["@example.com", "someone@", "someone@localhost", "a@b", "two@@example.com", "not an e.mail",
              "at@example.1"],
    "phone": [
        "2024-05-17", "17.05.2024", "2019-2020", "12:30:45", "1234567890123456789", "3.14159265", "order 20240517",
        "192.168.100.200", "123-45-6789", "$1,234,567.89", "100 200 300", "ISBN 978-3-16-148410-0", "1.000.000",
    ],
    "payment_card": [
        "4111111111111112", "1234567812345678", "0000000000000000", "9999999999999995", "411111111111111",
        "5555555555554445",
        "4111 1111-1111 1111",
    ],
    "iban": [
        "GB28 NWBK 6016 1331 9268 19", "DE88370400440532013000", "GB29NWBK6016133192681", "XX29NWBK60161331926819",
        "DE8937040044053201300A", "GB29123460161331926819",
    ],
    "ip_address": [
        "256.1.1.1", "1.2.3", "1.2.3.4.5", "10.0.0.0/8", "12:30:45", "00:1B:44:11:3A:B7", "abc::def", "2001:db8::/32",
        "1:2:3:4:5:6:7:8:9", "v1.2.3.4",
    ],
    "us_ssn": [
        "000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "078-05-1120", "219-09-9999",
        "123456789",        "123-456-789", "123-45 6789",
    ],
    "uk_nino": ["QQ123456C", "DA123456C", "AO123456A", "BG123456A", "AB123456E", "AB12345C", "AB1234567C"],
    "uk_nhs": ["943 476 5918", "111 111 1111", "9434765919 items", "943-476-5919 and more"],
    "cn_resident_id": [
        "110105194912310021", "11010519491331002X", "99010519491231002X", "110105194902300025", "1101051949123100",
    ],
    "de_tax_id": ["86095742718", "11111111111", "01234567899", "12345678901", "86095742719123"],
    "de_id_card": ["T220001294", "T22000129", "A220001293", "TRWVXYZNM3"],
}  # fmt: skip


@pytest.mark.parametrize(("entity", "value"), [(name, value) for name, values in RIGHT.items() for value in values])
def test_a_right_value_is_found_whole_in_a_sentence(found, entity, value):
    assert found(f"It is {value}, as they said.", [entity]) == [(entity, value)]
    assert found(f"说的是：{value}。谢谢", [entity]) == [(entity, value)]


@pytest.mark.parametrize(("entity", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_only_looks_like_one_is_not_found(found, entity, value):
    assert found(f"It is {value}, as they said.", [entity]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My SSN is 123456789.", [("us_ssn", "123456789")]),
        ("social security 123 45 6789", [("us_ssn", "123 45 6789")]),
        ("NHS no 9434765919", [("uk_nhs", "9434765919")]),
        ("Personalausweis L01X00T47", [("de_id_card", "L01X00T47")]),
        ("Call me: 4155552671", [("phone", "4155552671")]),
        ("Ring 467 3395 after six", [("phone", "467 3395")]),
        ("credit card 3598899323053410", [("payment_card", "3598899323053410")]),
    ],
)
def test_words_around_a_number_say_what_it_is(found, text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "The reference is 123456789.",
        "Number 9434765919 of 12",
        "Part L01X00T47",
        "Item 4155552671 is out",
        "Lot 467 3395",
        "电话书 ISBN 4-04-425305-6",
    ],
)
def test_without_such_words_the_same_numbers_are_nothing(found, text):
    assert found(text) == []


def test_a_number_alone_in_its_field_needs_no_words(found):
    assert found(" 4155552671 ") == [("phone", "4155552671")]
    assert found("9434765919", regions=["GB"]) == [("uk_nhs", "9434765919")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "请打我手机13812345678或发邮件到zhang.san@qq.com谢谢",
            [("phone", "13812345678"), ("email", "zhang.san@qq.com")],
        ),
        ("身份证号：１１０１０５１９４９１２３１００２Ｘ，请核对", [("cn_resident_id", "11010519491231002X")]),
        ("电话：１３８１２３４５６７８。", [("phone", "13812345678")]),
        ("邮箱ｌｉ＠ｅｘａｍｐｌｅ．ｃｏｍ。", [("email", "li@example.com")]),
        ("座机010-62781234，传真（010）62781235", [("phone", "010-62781234"), ("phone", "(010)62781235")]),
        ("卡号6222 0212 3456 7894（工行）", [("payment_card", "6222 0212 3456 7894")]),
    ],
)
def test_chinese_text_without_spaces_and_full_width_characters(found, text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("4111 1111 1111 1111", "payment_card"),
        ("my card 4012888888881881", "payment_card"),
        ("DE89 3704 0044 0532 0130 00", "iban"),
        ("call 13812345678", "phone"),
        ("ssn 123-45-6789 call me", "us_ssn"),
        ("phone 415-555-2671", "phone"),
        ("11010519491231002X", "cn_resident_id"),
        ("Steuer-ID 86 095 742 719", "de_tax_id"),
    ],
)
def test_what_several_kinds_could_be_is_the_most_specific_one(found, text, entity):
    assert [name for name, _ in found(text)] == [entity]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("call 555-867-5309 2 times", "555-867-5309"),
        ("our phone: +49 30 901820 12 people asked", "+49 30 901820 12"),
        ("fax 06-10446904-Office", "06-10446904"),
        ("tel. 02.27.96.63.08", "02.27.96.63.08"),
        ("mobile 07700 063 966\n12 High Street", "07700 063 966"),
    ],
)
def test_a_phone_number_ends_where_the_next_words_begin(found, text, number):
    assert found(text, ["phone"]) == [("phone", number)]


def test_national_numbers_are_those_of_the_regions(found):
    assert found("020 7946 0018", ["phone"], regions=["GB"]) == [("phone", "020 7946 0018")]
    assert found("010-62781234", ["phone"], regions=["CN"]) == [("phone", "010-62781234")]
    assert found("the code 13812345678 is wrong", ["phone"], regions=["GB"]) == []
    assert found("+86 13812345678", ["phone"], regions=[]) == [("phone", "+86 13812345678")]


def test_an_address_with_a_network_s_length_is_an_address_unless_it_is_the_network(found):
    assert found("host 10.1.2.3/24", ["ip_address"]) == [("ip_address", "10.1.2.3")]
    assert found("net 10.1.2.0/24", ["ip_address"]) == []


def test_several_in_one_text_are_all_found_in_their_order(found):
    text = "a@example.com, b@example.com; 123-45-6789 and DE89370400440532013000 from 8.8.8.8"
    assert [name for name, _ in found(text)] == ["email", "email", "us_ssn", "iban", "ip_address"]

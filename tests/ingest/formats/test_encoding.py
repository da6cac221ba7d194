"""The encoding of a text is found where the evidence is good; else a few bad bytes cost their rows."""

from __future__ import annotations

import pytest

from tidemill.errors import InvalidInput

TEXTS = {
    "chinese": ("这个手机很好用，物流也快", "质量太差了，不推荐大家购买"),
    "traditional": ("這個手機很好用，物流也很快", "品質太差了，不推薦大家購買"),
    "japanese": ("この商品はとても良いです。配送も早い。", "品質が悪いのでおすすめしません"),
    "korean": ("이 제품은 정말 좋아요. 배송도 빠릅니다", "품질이 너무 나빠서 추천하지 않아요"),
    "russian": ("Отличный телефон, быстрая доставка", "Ужасное качество, не рекомендую"),
    "french": ("Le café est très bien, naïve, à côté de l'élève", "Qualité médiocre, déçu, ça ne va pas, où ça"),
    "german": ("Das Gerät ist schön und größer als erwartet", "Üble Lösung für Männer, müßig, höher"),
    "polish": ("Świetny telefon, szybka dostawa, książka", "Zła jakość, źle, może być lepiej"),
}


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("chinese", "gbk"),
        ("chinese", "gb2312"),
        ("chinese", "gb18030"),
        ("chinese", "utf-16-le"),
        ("chinese", "utf-16-be"),
        ("traditional", "big5"),
        ("traditional", "gbk"),
        ("japanese", "shift_jis"),
        ("japanese", "euc_jp"),
        ("korean", "euc_kr"),
        ("russian", "cp1251"),
        ("russian", "koi8_r"),
        ("russian", "cp866"),
        ("french", "cp1252"),
        ("french", "latin-1"),
        ("german", "cp1252"),
        ("polish", "cp1250"),
    ],
)
def test_text_is_read_as_it_was_written(read_files, language: str, encoding: str) -> None:
    good, bad = TEXTS[language]
    rows = [(f"{good} {number}", "good") for number in range(4)] + [(f"{bad} {number}", "bad") for number in range(4)]
    document = "text;label\n" + "".join(f"{text};{label}\n" for text, label in rows)
    read = read_files({"x.csv": document.encode(encoding)})
    assert [(row["text"], row["label"]) for row in read.rows()] == rows


def test_few_bytes_are_no_evidence_for_another_encoding(read_files) -> None:
    document = b"text,label\n" + b"plain text,good\n" * 20 + "naïve,bad\n".encode("cp1252")
    read = read_files({"x.csv": document}, tolerant=True)
    assert (len(read.rows()), len(read.bad), read.table.writing.encoding) == (20, 1, "utf-8")


def test_text_in_two_encodings_costs_the_rows_of_the_fewer(read_files) -> None:
    utf8 = "".join(f"这个手机很好用 {number},好评\n" for number in range(30)).encode()
    read = read_files({"x.csv": "内容,标签\n".encode() + utf8 + "质量太差了,差评\n".encode("gbk")}, tolerant=True)
    assert (len(read.rows()), len(read.bad)) == (30, 1)
    assert "is not valid utf-8" in read.bad[0].reason


def test_a_file_cut_in_the_middle_of_a_character_loses_its_last_row(read_files) -> None:
    document = "text,label\n" + "很好用,好评\n" * 30
    for encoding in ("utf-8", "gb18030", "utf-16-le"):
        content = document.encode(encoding) + "太差".encode(encoding)[:-1]
        read = read_files({"x.csv": content}, {"encoding": encoding}, tolerant=True)
        assert (len(read.rows()), len(read.bad)) == (30, 1), encoding


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Πολύ καλό ξενοδοχείο καθαρό και ήσυχο.", "cp1253"),
        ("המלון היה נקי מאוד והצוות היה אדיב ועוזר לכולם", "cp1255"),
        ("このホテルはとても良かったです。また来ます。", "iso2022_jp"),
        ("Очень хороший отель чисто и тихо.", "cp1251"),
        ("這家酒店的服務很好，房間乾淨。下次還會再來", "big5"),
    ],
)
def test_scripts_that_share_their_bytes_are_told_apart(read_files, text: str, encoding: str) -> None:
    content = ("text,label\n" + f"{text},a\n" * 3).encode(encoding)
    assert read_files({"x.csv": content}).rows()[0]["text"] == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Bardzo ładny hotel śniadanie było przepyszne łóżko", "iso8859_2"),
        ("Très bel hôtel le déjeuner était délicieux à côté", "cp850"),
        ("โรงแรมดีมาก", "cp874"),
    ],
)
def test_an_encoding_that_is_not_known_by_its_letters_is_not_guessed(read_files, text: str, encoding: str) -> None:
    content = ("text,label\n" + f"{text},a\n" * 5).encode(encoding)
    with pytest.raises(InvalidInput, match="is not valid utf-8"):
        read_files({"x.csv": content})

"""Workbooks: sheets, types, merged and empty cells; what claims to be huge ends its own process, not ours."""

from __future__ import annotations

import struct
from datetime import date, datetime

import pytest

from tests.ingest.formats.sheets import ods, sheet_xml, xlsx
from tidemill.errors import InvalidInput

ROWS = [
    ["name", "count", "share", "seen", "day", "moment", "mixed", "note"],
    ["你好 & <b>", 3, 0.5, True, date(2024, 2, 29), datetime(2024, 2, 29, 12, 30), 1, None],
    ["two", 4, 2, False, date(1999, 12, 31), datetime(2000, 1, 1), "x", None],
    [None, None, None, None, None, None, None, None],
    ["three", None, None, None, None, None, True, "#N/A"],
]


def test_cells_keep_their_types(read_files) -> None:
    read = read_files({"x.xlsx": xlsx({"Data": sheet_xml(ROWS)})})
    assert read.rows() == [
        {"name": "你好 & <b>", "count": 3, "share": 0.5, "seen": True, "day": date(2024, 2, 29),
         "moment": datetime(2024, 2, 29, 12, 30), "mixed": "1", "note": None},
        {"name": "two", "count": 4, "share": 2.0, "seen": False, "day": date(1999, 12, 31),
         "moment": datetime(2000, 1, 1), "mixed": "x", "note": None},
        {"name": "three", "count": None, "share": None, "seen": None, "day": None, "moment": None, "mixed": "true",
         "note": None},
    ]  # fmt: skip
    assert read.table.kinds == {
        "count": "integer", "share": "number", "seen": "boolean", "day": "date", "moment": "date", "note": "empty",
    }  # fmt: skip
    assert (read.table.writing.format, read.table.writing.header) == ("xlsx", True)


def test_the_first_sheet_with_rows_is_read_unless_one_is_named(read_files) -> None:
    book = xlsx({"Empty": sheet_xml([]), "One": sheet_xml([["a", "b"], [1, 2]]), "Two": sheet_xml([["c"], [3], [4]])})
    assert read_files({"x.xlsx": book}).rows() == [{"a": 1, "b": 2}]
    assert read_files({"x.xlsx": book}, {"sheet": "Two"}).rows() == [{"c": 3}, {"c": 4}]
    with pytest.raises(InvalidInput, match=r"no sheet 'Three' \(data.sheet\); its sheets are Empty, One, Two"):
        read_files({"x.xlsx": book}, {"sheet": "Three"})
    with pytest.raises(InvalidInput, match="no sheet of it has a cell with a value"):
        read_files({"x.xlsx": xlsx({"Empty": sheet_xml([])})})


def test_every_cell_of_a_merged_range_has_its_value(read_files) -> None:
    rows = [["group", "text"], ["first", "a"], [None, "b"], [None, "c"], ["second", "d"]]
    merged = '<mergeCells count="1"><mergeCell ref="A2:A4"/></mergeCells>'
    read = read_files({"x.xlsx": xlsx({"Data": sheet_xml(rows, after=merged)})})
    assert [row["group"] for row in read.rows()] == ["first", "first", "first", "second"]


def test_a_sheet_without_a_header_gets_names(read_files) -> None:
    book = xlsx({"Data": sheet_xml([["a text", 1], ["another", 2]])})
    assert read_files({"x.xlsx": book}).rows()[0] == {"column_1": "a text", "column_2": 1}
    assert read_files({"x.xlsx": book}, {"columns": ["text", "label"]}).rows()[0] == {"text": "a text", "label": 1}
    with pytest.raises(InvalidInput, match=r"has 2 columns, but data\.columns names 1"):
        read_files({"x.xlsx": book}, {"columns": ["text"]})


def test_a_cell_over_the_limit_costs_its_row(read_files) -> None:
    rows = [["text", "label"], *([["fine", "x"]] * 4), ["y" * 3000, "x"]]
    read = read_files({"x.xlsx": xlsx({"Data": sheet_xml(rows)})}, max_cell=2000, tolerant=True)
    assert [bad.row for bad in read.bad] == [5]
    assert "row 6 of the sheet, column 'text': a value of 3,000 characters" in read.bad[0].reason


def test_sheets_of_parts_agree_in_types_where_one_is_wider(read_files) -> None:
    train = xlsx({"Data": sheet_xml([["x", "y"], [1, None], [2, None]])})
    test = xlsx({"Data": sheet_xml([["y", "x"], ["t", 2.5]])})
    read = read_files({"train.xlsx": train, "test.xlsx": test})
    assert read.rows("train") == [{"x": 1.0, "y": None}, {"x": 2.0, "y": None}]
    assert read.rows("test") == [{"x": 2.5, "y": "t"}]
    assert read.table.kinds == {"x": "number"}


def test_open_documents_are_read(read_files) -> None:
    read = read_files({"x.ods": ods([["text", "n"], ["你好", 1], ["b", 2]])})
    assert read.rows() == [{"text": "你好", "n": 1}, {"text": "b", "n": 2}]


def test_old_workbooks_are_read(read_files) -> None:
    read = read_files({"x.xls": xls([["text", "n"], ["good", 1.0], ["bad", 2.5]])})
    assert read.rows() == [{"text": "good", "n": 1.0}, {"text": "bad", "n": 2.5}]
    assert read.table.writing.format == "xls"


def test_a_sheet_that_claims_its_far_corner_is_refused(read_files) -> None:
    far = sheet_xml([["a"]]).replace(
        "</sheetData>", '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    )
    with pytest.raises(InvalidInput, match="claims more cells than fit into memory"):
        read_files({"x.xlsx": xlsx({"Data": far})})
    with pytest.raises(InvalidInput, match=r"x.ods cannot be read"):
        read_files({"x.ods": ods([["a"] * 1000, ["b"] * 1000], repeated=1_000_000_000)})


def test_what_is_repeated_and_empty_costs_nothing(read_files) -> None:
    read = read_files({"x.ods": ods([["text", "n"], ["a", 1], ["", ""]], repeated=50_000)})
    assert len(read.rows()) == 1


def xls(rows: list[list[object]]) -> bytes:
    """A workbook of Excel 97 with one sheet: BIFF8 records in a compound file ([MS-XLS], [MS-CFB])."""

    def record(kind: int, content: bytes) -> bytes:
        return struct.pack("<HH", kind, len(content)) + content

    def bof(kind: int) -> bytes:
        return record(0x809, struct.pack("<HHHHII", 0x600, kind, 0x0DBB, 0x07CC, 0, 6))

    cells = b""
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            if isinstance(value, float):
                cells += record(0x203, struct.pack("<HHHd", r, c, 0, value))
            else:
                text = str(value).encode("utf-16-le")
                cells += record(0x204, struct.pack("<HHHHB", r, c, 0, len(str(value)), 1) + text)
    sheet = bof(0x10) + cells + record(0x0A, b"")
    name = b"Data"
    head = bof(5) + record(0x42, struct.pack("<H", 1200))
    bound = 4 + 8 + len(name)
    start = len(head) + bound + 4
    stream = head + record(0x85, struct.pack("<IBBBB", start, 0, 0, len(name), 0) + name) + record(0x0A, b"") + sheet
    stream = stream.ljust(4096, b"\x00")
    stream = stream.ljust(-(-len(stream) // 512) * 512, b"\x00")
    count = len(stream) // 512
    fat = [0xFFFFFFFD, 0xFFFFFFFE, *range(3, 2 + count), 0xFFFFFFFE]
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0) + struct.pack("<I", 0)
    header = header.ljust(512, b"\xff")

    def entry(title: str, kind: int, child: int, first: int, size: int) -> bytes:
        wide = (title + "\x00").encode("utf-16-le") if title else b""
        none = 0xFFFFFFFF
        parts = struct.pack("<HBBIII", len(wide), kind, 1, none, none, child) + bytes(36)
        return wide.ljust(64, b"\x00") + parts + struct.pack("<IQ", first, size)

    folder = entry("Root Entry", 5, 1, 0xFFFFFFFE, 0) + entry("Workbook", 2, 0xFFFFFFFF, 2, len(stream))
    folder += entry("", 0, 0xFFFFFFFF, 0, 0) * 2
    table = struct.pack(f"<{len(fat)}I", *fat).ljust(512, b"\xff")
    return header + table + folder + stream

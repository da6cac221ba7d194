"""CSV and TSV: bad rows are told with their line, good ones around them are kept, and both parsers agree."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.formats.delimited import DelimitedFile
from services.ingest.formats.plainness import check_plain
from services.ingest.tables import Limits
from tests.ingest.reading import Listed
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput

HEAD = b"text,label\n"
GOOD = b"".join(b"text %d,%s\n" % (number, b"ham" if number % 2 else b"spam") for number in range(20))


def test_a_row_with_too_few_fields_is_quarantined_with_its_line(read_files) -> None:
    read = read_files({"x.csv": HEAD + GOOD + b"lonely\n" + GOOD}, tolerant=True)
    (bad,) = read.bad
    assert (bad.file, bad.row, bad.content) == ("x.csv", 21, "lonely")
    assert bad.reason.startswith("line 22: 1 field, but 2 are expected (text, label)")
    assert len(read.rows()) == 40


def test_rows_are_counted_without_blank_lines_and_lines_with_them(read_files) -> None:
    read = read_files({"x.csv": HEAD + b"\n\na,b\n\n" + GOOD + b"a,b,c\n"}, tolerant=True)
    assert [(bad.row, bad.reason.partition(":")[0]) for bad in read.bad] == [(22, "line 26")]


@pytest.mark.parametrize("names", [b'"text","label"', b"text , label", b"text,label"])
def test_column_names_that_stand_there_again_are_no_row_however_they_are_written(read_files, names: bytes) -> None:
    read = read_files({"x.csv": names + b"\n" + GOOD + names + b"\n" + GOOD}, tolerant=True)
    assert [(bad.row, "column names stand there again" in bad.reason) for bad in read.bad] == [(21, True)]
    assert len(read.rows()) == 40


def test_a_delimiter_behind_every_row_does_not_hide_the_column_names(read_files) -> None:
    read = read_files({"x.csv": b"id,amount,\n1,2,\n3,4,\n"})
    assert read.rows() == [
        {"id": "1", "amount": "2", "column_3": ""},
        {"id": "3", "amount": "4", "column_3": ""},
    ]


@pytest.mark.parametrize("title", [b"# made by hand\n", b"Report 2024\n\n", b"sep=,\n"])
@pytest.mark.parametrize("policy", [{}, {"on_bad_row": "quarantine"}])
def test_what_stands_above_the_column_names_does_not_make_them_a_row(read_files, title: bytes, policy) -> None:
    with pytest.raises(InvalidInput, match=r"x\.csv begins with .* remove what stands above the column names"):
        read_files({"x.csv": title + b"id,amount\n1,2\n3,4\n5,6\n"}, policy, tolerant=True)


def test_blank_lines_above_the_name_of_the_one_column_are_not_taken_for_it(read_files) -> None:
    assert read_files({"x.csv": b'   \n""\ntext\nhello\nworld\n'}).rows() == [{"text": "hello"}, {"text": "world"}]


def test_quotes_escaped_with_backslashes_are_bad_rows_and_do_not_leave_quotes_in_all_values(read_files) -> None:
    rows = b"".join(b'%d,"text %d"\n' % (number, number) for number in range(20))
    read = read_files({"x.csv": b"id,text\n" + rows + b'20,"a \\"b\\" c"\n'}, tolerant=True)
    assert [bad.row for bad in read.bad] == [21]
    assert read.rows()[0] == {"id": "0", "text": "text 0"}


def test_a_byte_that_does_not_decode_costs_its_row_only(read_files) -> None:
    read = read_files({"x.csv": HEAD + GOOD + b"caf\xe9,ham\n" + GOOD}, tolerant=True)
    (bad,) = read.bad
    assert "line 22, column 'text': the byte 0xE9 is not valid utf-8" in bad.reason
    assert bad.content == "caf\\xE9,ham"
    assert len(read.rows()) == 40


def test_a_quote_that_is_never_closed_costs_its_line_only(read_files) -> None:
    content = HEAD + b'"a, quoted",ham\n' * 5 + GOOD + b'"never closed,ham\n' + GOOD
    read = read_files({"x.csv": content}, tolerant=True)
    (bad,) = read.bad
    assert (bad.row, bad.content) == (26, '"never closed,ham')
    assert "line 27: a field begins with a double quote that is never closed" in bad.reason
    assert len(read.rows()) == 45


def test_a_quote_that_a_later_row_seems_to_close_costs_its_line_only(read_files) -> None:
    tail = GOOD + b'"a, quoted",ham\n"plain",spam\n'
    read = read_files({"x.csv": HEAD + b'"a, b",ham\n' + GOOD + b'"never closed,ham\n' + tail}, tolerant=True)
    (bad,) = read.bad
    assert (bad.row, bad.content) == (22, '"never closed,ham')
    assert [row["text"] for row in read.rows()[-2:]] == ["a, quoted", "plain"]
    assert len(read.rows()) == 43


def test_where_nobody_can_say_which_lines_are_rows_all_of_them_go(read_files) -> None:
    torn = b'"a text\nfoo,bar\nmore"stray,ham\n'
    read = read_files({"x.csv": HEAD + b'"a, b",ham\n' + GOOD + torn + GOOD}, tolerant=True)
    (bad,) = read.bad
    assert bad.reason.startswith("lines 23 to 25: a quoted field goes on after its closing quote")
    assert bad.content == '"a text\nfoo,bar\nmore"stray,ham'
    assert {"text": "foo", "label": "bar"} not in read.rows()
    assert len(read.rows()) == 41


def test_a_cell_over_the_limit_costs_its_row_only(read_files) -> None:
    content = HEAD + GOOD + b"y" * 5000 + b",ham\n" + GOOD
    read = read_files({"x.csv": content}, max_cell=2000, tolerant=True)
    assert "line 22, column 'text': a value of 5,000 characters; at most 2,000" in read.bad[0].reason
    assert (len(read.bad), len(read.rows()), len(read.bad[0].content)) == (1, 40, 2000)


def test_a_line_over_every_limit_is_skipped_without_being_held(read_files) -> None:
    content = HEAD + GOOD + b"y" * 100_000 + b",ham\n" + GOOD
    read = read_files({"x.csv": content}, max_cell=2000, tolerant=True)
    assert "line 22: longer than 32,000 characters" in read.bad[0].reason
    assert (len(read.bad), len(read.rows())) == (1, 40)


def test_files_that_were_appended_to_each_other_are_noticed(read_files) -> None:
    content = HEAD + GOOD + b"\xef\xbb\xbf" + HEAD + HEAD + GOOD
    read = read_files({"x.csv": content}, tolerant=True)
    assert [bad.row for bad in read.bad] == [21, 22]
    assert "begins with a byte order mark" in read.bad[0].reason
    assert "the column names stand there again" in read.bad[1].reason
    assert len(read.rows()) == 40


@pytest.mark.parametrize("times", [2, 400])
def test_a_file_of_which_most_is_bad_is_refused_whatever_the_policy(read_files, times: int) -> None:
    content = HEAD + b"a,b\na\na,b,c\na,b,c,d\n" * times
    with pytest.raises(InvalidInput, match=r"of its first (8|1,000) rows cannot be read, the first of them: line 3"):
        read_files({"x.csv": content}, {"header": True, "format": "csv"}, tolerant=True)


def test_where_every_field_is_quoted_a_stray_quote_does_not_make_quotes_text(read_files) -> None:
    rows = b"".join(b'"text %d","ham"\n' % number for number in range(30))
    read = read_files({"x.csv": b'"text","label"\n' + rows + b'"a "quoted" word","spam"\n' + rows}, tolerant=True)
    assert (len(read.bad), len(read.rows())) == (1, 60)
    assert read.rows()[0] == {"text": "text 0", "label": "ham"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "cp1252"])
def test_both_parsers_are_used_in_every_encoding(read_files, encoding: str) -> None:
    rows = b"".join(b"text %d,ham\n" % number for number in range(30)).decode()
    for dirty in ("", "a,b,c\n"):
        content = ("text,label\n" + rows + dirty).encode(encoding)
        read = read_files({"x.csv": content}, {"encoding": encoding.removesuffix("-sig")}, tolerant=True)
        assert (len(read.rows()), len(read.bad)) == (30, bool(dirty))
        assert read.table.columns == ["text", "label"]


pieces = st.sampled_from([*"ab ,;\"'\n\r\t\\", "\r\n", "你", "😀", "\u2028", "\x00", "\x85"])
cells = st.lists(pieces, max_size=8).map("".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=2, max_size=12),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    end=st.sampled_from(["\n", "\r\n"]),
    noise=st.sampled_from(["", "", '"', "a,b\n", ',"x"y,z\n', "\n\n"]),
    at=st.integers(0, 200),
)
def test_arrow_reads_what_the_csv_module_reads(tmp_path, rows, quoting: int, end: str, noise: str, at: int) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=quoting, lineterminator=end).writerows([("p", "q", "r"), *rows])
    text = out.getvalue()
    text = text[: at % len(text)] + noise + text[at % len(text) :]
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    data = Data(header=True)
    try:
        fast = DelimitedFile(path, "csv", data, Limits(1000))
    except InvalidInput:
        return
    slow = DelimitedFile(path, "csv", data, Limits(1000))
    slow._plain = None
    told, bad = Listed(), Listed()
    assert [row for batch in fast.batches(told) for row in batch.rows.to_pylist()] == [
        row for batch in slow.batches(bad) for row in batch.rows.to_pylist()
    ]
    assert told.rows == bad.rows


def test_the_property_above_is_about_arrow_as_well(tmp_path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'p,q\n"a\nb","c""d"\n,\n')
    file = DelimitedFile(path, "csv", Data(header=True), Limits(1000))
    assert file._plain is not None
    assert [row for batch in file.batches(Listed()) for row in batch.rows.to_pylist()] == [
        {"p": "a\nb", "q": 'c"d'},
        {"p": "", "q": ""},
    ]


@pytest.mark.parametrize(
    "text", [b'a"b,c\n', b'"a"b,c\n', b'"a,c\n', b"a\n", b"a,b,c\n", b"a\rb,c\n", b"aaaaaaaaaaaaa,c\n", b" \n"]
)
def test_what_is_not_plain_is_left_to_the_csv_module(text: bytes) -> None:
    from services.ingest.formats.dialect import Dialect

    dialect = Dialect(",", quoted=True)
    assert check_plain(io.BytesIO(b"x,y\n"), dialect, 2, max_cell=10) is not None
    assert check_plain(io.BytesIO(b"x,y\n" + text), dialect, 2, max_cell=10) is None


def test_a_row_too_long_for_a_block_is_read_too(read_files) -> None:
    long = b"y" * 1_500_000
    read = read_files({"x.csv": HEAD + GOOD + long + b",ham\n" + GOOD}, max_cell=2_000_000)
    assert read.rows()[20] == {"text": long.decode(), "label": "ham"}
    assert len(read.rows()) == 41

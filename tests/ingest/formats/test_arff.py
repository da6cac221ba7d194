"""ARFF: what the header declares, dense and sparse rows, values that it does not allow."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.errors import InvalidInput

HEAD = """% a comment
@RELATION 'some animals'

@ATTRIBUTE name STRING
@attribute 'the size' numeric
@attribute legs integer
@attribute kind {cat, 'wild dog', "b\\"ird"}
@attribute born date 'yyyy-MM-dd'
@DATA
"""


def test_names_types_and_nominal_values_come_from_the_header(read_files) -> None:
    rows = '\'Tom, the cat\', 1.5, 4, cat, 2020-01-02\n% between\n\nRex,?,?,\'wild dog\',?\n"Tw\\"eety",1e-1,2,"b\\"ird",x\n'  # noqa: E501
    read = read_files({"x.arff": (HEAD + rows).encode()})
    assert read.rows() == [
        {"name": "Tom, the cat", "the size": 1.5, "legs": 4, "kind": "cat", "born": "2020-01-02"},
        {"name": "Rex", "the size": None, "legs": None, "kind": "wild dog", "born": None},
        {"name": 'Tw"eety', "the size": 0.1, "legs": 2, "kind": 'b"ird', "born": "x"},
    ]
    assert read.table.kinds == {"the size": "number", "legs": "integer", "kind": "category", "born": "date"}


def test_sparse_rows_leave_out_zeros_and_first_values(read_files) -> None:
    read = read_files({"x.arff": (HEAD + "{0 Tom, 1 2.5}\n{}\n{3 'wild dog', 2 ?}\n").encode()})
    assert [tuple(row.values()) for row in read.rows()] == [
        ("Tom", 2.5, 0, "cat", None),
        (None, 0.0, 0, "cat", None),
        (None, 0.0, None, "wild dog", None),
    ]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("Tom,1,4,horse,?", "line 13, column 'kind': 'horse' is not one of the 3 values that the header declares (cat"),
        ("Tom,big,4,cat,?", "line 13, column 'the size': 'big' is no number"),
        ("Tom,1,4.5,cat,?", "line 13, column 'legs': '4.5' is no whole number of 64 bits"),
        ("Tom,1,99999999999999999999,cat,?", "is no whole number of 64 bits"),
        ("Tom,1,4,cat", "line 13: 4 values, but 5 attributes are declared"),
        ("'Tom,1,4,cat,?", "line 13: a quote is never closed"),
        ("{9 x}", "line 13: 9 is no index of an attribute (0 to 4)"),
        ("{1 2, 1 3}", "line 13: a sparse row has to be {index value, index value}, every index once"),
        ("{1 2", "line 13: a sparse row has to be"),
        ("caf\udce9,1,4,cat,?", "line 13: the byte 0xE9 is not valid utf-8"),
        ("y" * 3000 + ",1,4,cat,?", "line 13, column 'name': a value of 3,000 characters"),
    ],
)
def test_a_row_that_the_header_does_not_allow_is_bad(read_files, row: str, says: str) -> None:
    content = HEAD + "Rex,1,4,cat,?\n" * 3 + row + "\nRex,1,4,cat,?\n"
    read = read_files({"x.arff": content.encode(errors="surrogateescape")}, tolerant=True, max_cell=2000)
    assert [bad.row for bad in read.bad] == [4]
    assert says in read.bad[0].reason
    assert len(read.rows()) == 4


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("@relation r\n@attribute a numeric\n", "x.arff has no @data section"),
        ("@relation r\n@data\n1\n", "line 2: @data stands before the first @attribute"),
        ("@relation r\n@attribute a\n@data\n1\n", "line 2: '' is no type"),
        ("@relation r\n@attribute a {x, y\n@data\n1\n", "line 2: the values of 'a' are not closed"),
        ("@relation r\n@attribute a relational\n@data\n1\n", "line 2: 'relational' is no type of an attribute"),
        ("@relation r\n@attribute a numeric\n@attribute a numeric\n@data\n1,2\n", "more than one column named 'a'"),
        ("@relation r\n1,2\n@data\n", "line 2: '1,2' is neither @attribute nor @data"),
    ],
)
def test_a_broken_header_is_refused(read_files, header: str, says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read_files({"x.arff": header.encode()}, tolerant=True)
    assert says in str(error.value)


cells = st.text(st.sampled_from("ab ,'\"\\%{}?\t你"), max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(cells, st.floats(allow_nan=False)), min_size=1, max_size=10))
def test_tables_come_back_as_they_were_written(read_files, rows) -> None:
    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\t", "\\t") + "'"

    lines = "".join(f"{quoted(text)},{number!r}\n" for text, number in rows)
    content = "@relation r\n@attribute t string\n@attribute n real\n@data\n" + lines
    assert [tuple(row.values()) for row in read_files({"x.arff": content.encode()}).rows()] == rows


def test_what_only_python_takes_for_a_number_is_none(read_files) -> None:
    rows = b"1_000\n\xef\xbc\x91\n1e3\n-.5\n2\n3\n"
    read = read_files({"x.arff": b"@relation r\n@attribute n numeric\n@data\n" + rows}, tolerant=True)
    assert [bad.row for bad in read.bad] == [1, 2]
    assert [row["n"] for row in read.rows()] == [1000.0, -0.5, 2.0, 3.0]

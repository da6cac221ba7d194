"""JSON documents and JSON Lines: values without loss, parts in one document, bad rows with their line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.formats.answers import ANSWERS
from services.ingest.formats.json_values import JsonProblem, decode
from tests.ingest.reading import read_folder
from tidemill.errors import InvalidInput

ROWS = [{"text": "good 你好", "label": "yes"}, {"text": "bad", "label": "no"}]


def test_numbers_of_any_size_and_values_of_any_type_lose_nothing(read_files) -> None:
    lines = [
        '{"v": 123456789012345678901234567890}',
        '{"v": 0.1234567890123456789}',
        '{"v": "text"}',
        '{"v": true}',
        '{"v": null}',
        '{"v": {"a": [1.50, 12345678901234567890123, null]}}',
        '{"v": -5}',
        '{"v": NaN}',
    ]
    expected = [
        "123456789012345678901234567890", "0.1234567890123456789", "text", "true", None,
        '{"a":[1.50,12345678901234567890123,null]}', "-5", None,
    ]  # fmt: skip
    for files in ({"x.jsonl": "\n".join(lines).encode()}, {"x.json": f"[{', '.join(lines)}]".encode()}):
        assert [row["v"] for row in read_files(files).rows()] == expected


@pytest.mark.parametrize(
    "document",
    [
        ROWS,
        {"version": 1, "rows": ROWS},
        {"text": [row["text"] for row in ROWS], "label": [row["label"] for row in ROWS]},
        {"text": {"0": ROWS[0]["text"], "1": "bad"}, "label": {"0": "yes", "1": "no"}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_every_shape_of_a_table_is_read(read_files, document, indent, encoding: str) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    data = {"encoding": encoding} if encoding == "gb18030" else {}
    assert read_files({"x.json": text.encode(encoding)}, data).rows() == ROWS


def test_the_lists_of_one_document_are_its_parts(read_files) -> None:
    document = {
        "oos_val": [["what", "oos"]],
        "val": [["a", "x"]],
        "train": [["b", "x"], ["c", "y"]],
        "oos_test": [["who", "oos"]],
        "test": [["d", "y"]],
        "oos_train": [["why", "oos"]],
    }
    read = read_files({"x.json": json.dumps(document).encode()}, {"columns": ["text", "label"]})
    assert read.parts == {"train": 3, "validation": 2, "test": 2}
    assert [row["text"] for row in read.rows("train")] == ["b", "c", "why"]
    assert [row["text"] for row in read.rows("validation")] == ["what", "a"]
    assert [table[0].path.name for table in read.tables.values()] == [
        "x.json[train]",
        "x.json[validation]",
        "x.json[test]",
    ]


def test_a_list_that_says_no_part_beside_those_that_do_is_not_left_out_in_silence(read_files) -> None:
    document = {"train": [{"a": 1}], "test": [{"a": 1}], "extra": [{"a": 1}]}
    with pytest.raises(InvalidInput, match="'extra' says no part"):
        read_files({"x.json": json.dumps(document).encode()})


def test_clinc150_is_read_in_its_parts(real_data: Path) -> None:
    data = {"files": {"data": "data_small.json"}, "columns": ["text", "label"]}
    read = read_folder(real_data / "clinc150", data)
    published = json.loads((real_data / "clinc150" / "data_small.json").read_bytes())
    assert read.parts == {"train": 7600, "validation": 3100, "test": 5500}
    assert sum(read.parts.values()) == sum(map(len, published.values()))
    assert {"text": published["oos_train"][0][0], "label": "oos"} in read.rows("train")


def test_a_row_of_another_kind_in_a_list_is_a_bad_row(read_files) -> None:
    document = '[\n{"a": "x"},\n7,\n{"a": "\\ud800"},\n[1],\n{"a": "z"}, {"a": "z"}, {"a": "z"}\n]'
    read = read_files({"x.json": document.encode()}, tolerant=True)
    assert [(bad.row, bad.content) for bad in read.bad] == [(2, "7"), (3, '{"a": "\\ud800"}'), (4, "[1]")]
    assert read.bad[0].reason == "line 3: a number where an object is expected, as in the other rows"
    assert "half of a surrogate pair" in read.bad[1].reason
    assert len(read.rows()) == 4


def test_a_row_with_other_values_than_columns_is_a_bad_row(read_files) -> None:
    read = read_files({"x.json": b'[["a", "x"], ["b"], ["c", "y"]]'}, {"columns": ["p", "q"]}, tolerant=True)
    assert [(bad.row, bad.reason) for bad in read.bad] == [(2, "line 1: 1 values, but 2 are expected ('p', 'q')")]


def test_what_is_broken_in_a_document_is_named_with_line_and_character(read_files) -> None:
    with pytest.raises(InvalidInput, match=r"x.json, line 3, character 7: not valid JSON"):
        read_files({"x.json": b'[\n{"a": 1},\n{"b": }\n]'}, tolerant=True)
    with pytest.raises(InvalidInput, match=r"not valid JSON .* nothing behind it can be read"):
        read_files({"x.json": b'[{"a": 1}, {"a": 2'}, tolerant=True)


def test_bad_lines_are_told_and_the_others_kept(read_files) -> None:
    lines = [
        '{"a": "1"}',
        "{",
        '["a"]',
        "",
        '{"a": "\\udc00"}',
        '{"a": 1, "b": "late"}',
        "3",
        '{"a": "5"}',
        '{"a": "6"}',
        '{"a": "7"}',
    ]
    read = read_files({"x.jsonl": "\n".join(lines).encode() + b'\n{"a": "caf\xe9"}'}, tolerant=True)
    assert [bad.row for bad in read.bad] == [2, 3, 4, 6, 10]
    assert read.bad[0].reason.startswith("line 2, character ")
    assert "line 7: a number where one JSON object is expected" in read.bad[3].reason
    assert "the byte 0xE9 is not valid utf-8" in read.bad[4].reason
    assert read.rows()[1] == {"a": "1", "b": "late"}


def test_answers_stay_nested_when_all_of_them_are_answers(read_files) -> None:
    answers = {"text": ["a"], "answer_start": [3]}
    lines = [json.dumps({"question": "q", "answers": value}) for value in (answers, None, answers)]
    read = read_files({"x.jsonl": "\n".join(lines).encode()})
    assert read.table.kinds == {"answers": "nested"}
    assert [row["answers"] for row in read.rows()] == [answers, None, answers]
    read = read_files({"x.jsonl": "\n".join([*lines, '{"answers": {"text": "a"}}']).encode()})
    assert read.rows()[0]["answers"] == '{"text":["a"],"answer_start":[3]}'
    assert pa.types.is_struct(ANSWERS)


values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20), st.floats(allow_nan=False))
tables = st.lists(st.fixed_dictionaries({"a": values, "b": st.text(max_size=10)}), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=tables, indent=st.sampled_from([None, 1]))
def test_tables_come_back_from_documents_and_lines(read_files, rows, indent) -> None:
    def text(value: object) -> str | None:
        return value if value is None or isinstance(value, str) else json.dumps(value)

    expected = [{name: text(value) for name, value in row.items()} for row in rows]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    document = json.dumps(rows, indent=indent).encode()
    for files in ({"x.jsonl": lines}, {"x.json": document}):
        read = read_files(files).rows()
        assert [row["b"] for row in read] == [row["b"] for row in expected]
        for got, wanted in zip(read, expected, strict=True):
            same = got["a"] == wanted["a"]
            assert same or float(got["a"]) == float(wanted["a"])


def test_columns_of_lists_and_objects_stand_beside_the_others(read_files) -> None:
    columns = {"text": ["a", "b"], "label": [0, 1], "tokens": [["x"], ["y", "z"]], "meta": [{"n": 1}, {"n": 2}]}
    assert read_files({"x.json": json.dumps(columns).encode()}).rows() == [
        {"text": "a", "label": "0", "tokens": '["x"]', "meta": '{"n":1}'},
        {"text": "b", "label": "1", "tokens": '["y","z"]', "meta": '{"n":2}'},
    ]


@pytest.mark.parametrize(
    "row",
    [
        '{"a": "1", "a": "2"}',
        '{"a": 1, "\\u0061": 2}',
        '{"a": "x", "v": {"b": 1, "b": 2}}',
        '{"a": [[{"b": 1, "b": 1}]]}',
    ],
)
def test_a_key_that_stands_twice_makes_a_bad_row_of_lines_and_of_documents(read_files, row: str) -> None:
    good = '{"a": "z"}'
    for content in ("\n".join([good, row, good, good]), f"[{good}, {row}, {good}, {good}]"):
        read = read_files({"x.json": content.encode()}, tolerant=True)
        assert [bad.row for bad in read.bad] == [2]
        assert "stands twice in one object" in read.bad[0].reason
        assert len(read.rows()) == 3


def test_what_only_looks_like_a_key_that_stands_twice_is_taken(read_files) -> None:
    rows = [{"a": "a", "b": 'says "a": 1'}, {"a": {"a": {"b": 1}}, "b": [{"c": 1}, {"c": 2}]}]
    read = read_files({"x.jsonl": "\n".join(map(json.dumps, rows)).encode()}, tolerant=True)
    assert not read.bad
    assert len(read.rows()) == 2


def test_rows_by_key_of_an_object_of_columns_are_there_once(read_files) -> None:
    with pytest.raises(InvalidInput, match="key '0' stands twice"):
        read_files({"x.json": b'{"a": {"0": "x", "0": "y"}, "b": {"0": "x", "1": "y"}}'}, tolerant=True)


_KEYS = st.sampled_from(["a", "b", "é", "键"])
_TREES = st.recursive(
    st.sampled_from(["1", '"a"', "null"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: f"[{','.join(values)}]"),
        st.lists(st.tuples(_KEYS, st.booleans(), inner), max_size=3).map(
            lambda pairs: (
                f"{{{','.join(f'{json.dumps(key, ensure_ascii=plain)}:{value}' for key, plain, value in pairs)}}}"
            )
        ),
    ),
    max_leaves=8,
)


def _repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise KeyError
    return dict(pairs)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(_KEYS, st.booleans(), _TREES), max_size=3))
def test_every_key_that_stands_twice_is_noticed_and_no_other(pairs) -> None:
    text = f"{{{','.join(f'{json.dumps(key, ensure_ascii=plain)}:{value}' for key, plain, value in pairs)}}}"
    try:
        expected = json.loads(text, object_pairs_hook=_repeats)
    except KeyError:
        with pytest.raises(JsonProblem, match="stands twice"):
            decode(text)
    else:
        assert json.loads(json.dumps(decode(text)), parse_int=str) == json.loads(json.dumps(expected), parse_int=str)

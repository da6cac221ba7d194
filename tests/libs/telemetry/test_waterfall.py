"""The waterfall of a trace, from the span files to the lines of a terminal."""

from __future__ import annotations

import json
from pathlib import Path

from rich.cells import cell_len

from tidemill.telemetry.spans import SpanRecord, SpanStatus
from tidemill.telemetry.waterfall import read_trace, render

TRACE = "a" * 32
SECOND = 10**9


def span(
    number: int, parent: int | None, name: str, service: str, start: float, end: float, *,
    trace: str = TRACE, status: SpanStatus = "unset", message: str = "",
) -> SpanRecord:  # fmt: skip
    return SpanRecord(
        trace, f"{number:016x}", f"{parent:016x}" if parent is not None else None, name, service, "1",
        int(start * SECOND), int(end * SECOND), status=status, status_message=message,
    )  # fmt: skip


def write(data_dir: Path, file: str, *spans: SpanRecord, rubbish: str = "") -> None:
    folder = data_dir / "telemetry" / "spans"
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in spans)
    (folder / file).write_text(text + rubbish, encoding="utf-8")


def test_spans_of_several_files_come_in_tree_order(tmp_path: Path) -> None:
    train = span(4, 1, "train", "trainer", 2, 9)
    write(
        tmp_path, "gateway.jsonl", span(1, None, "publish", "gateway", 0, 10), rubbish=f'{{"trace_id": "{TRACE}", "na'
    )
    write(tmp_path, "trainer.jsonl", span(5, 4, "epoch 2", "trainer", 6, 8), span(3, 4, "epoch 1", "trainer", 3, 5))
    write(tmp_path, "trainer.1.jsonl", train, train, span(9, None, "other", "x", 0, 1, trace="b" * 32))
    write(tmp_path, "late.jsonl", span(7, 777, "parent not finished", "ingest", 11, 12))
    rows = read_trace(tmp_path, TRACE)
    assert [(row.depth, row.span.name) for row in rows] == [
        (0, "publish"), (1, "train"), (2, "epoch 1"), (2, "epoch 2"), (0, "parent not finished"),
    ]  # fmt: skip
    assert read_trace(tmp_path, "c" * 32) == []
    assert read_trace(tmp_path / "nowhere", TRACE) == []


def test_bars_stand_where_the_time_was_and_wide_characters_align(tmp_path: Path) -> None:
    write(
        tmp_path, "x.jsonl",
        span(1, None, "publish", "gateway", 0, 10),
        span(2, 1, "读取数据", "ingest", 0, 5),
        span(3, 1, "训练一个名字非常非常非常非常非常长的模型 train", "trainer", 5, 10, status="error",
             message="内存不足\nmore"),
    )  # fmt: skip
    lines = render(read_trace(tmp_path, TRACE), 80).plain.splitlines()
    assert [cell_len(line) for line in lines[:3]] == [80, 80, 80]
    whole, first, second = (line[line.index("█") : line.rindex("█") + 1] for line in lines[:3])
    assert len(first) + len(second) - len(whole) in (0, 1)
    assert cell_len(lines[1][: lines[1].index("█")]) == cell_len(lines[0][: lines[0].index("█")])
    assert lines[0].endswith(" 10.00 s")
    assert "…" in lines[2]
    assert lines[3].strip() == "内存不足"
    assert render([], 80).plain == ""


def test_a_prediction_hours_later_does_not_squeeze_the_rest(tmp_path: Path) -> None:
    write(
        tmp_path, "x.jsonl",
        span(1, None, "train", "trainer", 0, 100), span(2, 1, "predict", "inference", 7200, 7200.004),
    )  # fmt: skip
    train, predict = render(read_trace(tmp_path, TRACE), 80).plain.splitlines()
    assert train.count("█") > 30
    assert predict.count("█") == 1
    assert "┊" in train
    assert train.endswith("1 min 40 s")
    assert predict.endswith("4.0 ms")

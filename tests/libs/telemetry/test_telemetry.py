"""Spans, figures and log lines of a process: in files beside the data, and over OTLP to a real HTTP server."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemill import telemetry
from tidemill.telemetry.files import LineFile, prune
from tidemill.telemetry.spans import SpanEvent, SpanRecord
from tidemill.testing.otlp import Collector, values

CHILD_SPAN = SpanRecord(
    trace_id="0af7651916cd43dd8448eb211c80319c",
    span_id="00f067aa0ba902b7",
    parent_id="b7ad6b7169203331",
    name="tokenize 分词",
    service="trainer",
    instance="t1",
    start_ns=1_000,
    end_ns=2_000,
    attributes={"rows": 3, "labels": ["ham", "spam"]},
    status="error",
    status_message="KeyError: 'label'",
    events=(SpanEvent("exception", 1_500, {"exception.type": "KeyError"}),),
)


@pytest.fixture(autouse=True)
def _no_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    yield
    telemetry.shutdown()


def lines(data_dir: Path, signal: str) -> list[dict[str, Any]]:
    (path,) = (data_dir / "telemetry" / signal).glob("*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_spans_are_in_the_file_as_soon_as_they_end(tmp_path: Path) -> None:
    telemetry.configure("ingest", tmp_path, "i1")
    with telemetry.span("read", kind="consumer", rows=3, part=None) as read:
        with pytest.raises(ValueError, match="row 7"), telemetry.span("parse"):
            raise ValueError("row 7")
        (parse,) = lines(tmp_path, "spans")
        assert parse["parent_id"] == f"{read.get_span_context().span_id:016x}"
    assert (parse["name"], parse["status"], parse["service"], parse["instance"]) == ("parse", "error", "ingest", "i1")
    assert parse["events"][0]["attributes"]["exception.message"] == "row 7"
    assert parse["start_ns"] <= parse["end_ns"]
    whole = lines(tmp_path, "spans")[1]
    assert (whole["kind"], whole["attributes"], whole["parent_id"]) == ("consumer", {"rows": 3}, None)


def test_a_seed_does_not_repeat_the_ids_of_spans(tmp_path: Path) -> None:
    telemetry.configure("trainer", tmp_path)
    found = set()
    for _ in range(2):
        random.seed(17)
        with telemetry.span("fit") as current:
            found.add(current.get_span_context().span_id)
    assert len(found) == 2


def test_a_trace_goes_on_from_a_traceparent(tmp_path: Path) -> None:
    telemetry.configure("ingest", tmp_path)
    assert telemetry.current_traceparent() is None
    with telemetry.span("publish"):
        sent = telemetry.current_traceparent()
    with telemetry.span("ingest", traceparent=sent):
        pass
    publish, ingest = lines(tmp_path, "spans")
    assert ingest["trace_id"] == publish["trace_id"] == telemetry.trace_id_of(sent)
    assert ingest["parent_id"] == publish["span_id"]
    assert telemetry.trace_id_of("nonsense") is None


def test_where_nothing_is_configured_a_span_is_just_a_block() -> None:
    with telemetry.span("tokenize", rows=3) as nothing:
        nothing.set_attribute("more", 1)
        assert telemetry.current_traceparent() is None
    telemetry.export([CHILD_SPAN])


def test_spans_of_a_child_process_keep_everything(tmp_path: Path) -> None:
    telemetry.configure("worker", tmp_path)
    telemetry.export([CHILD_SPAN])
    assert [SpanRecord.from_json(line) for line in lines(tmp_path, "spans")] == [CHILD_SPAN]


def test_log_lines_carry_trace_and_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("trainer", tmp_path, "t1")
    log = logging.getLogger("services.trainer")
    with telemetry.run_scope("r-17"), telemetry.span("train"):
        log.info("epoch %d 开始", 2)
        trace_id = telemetry.trace_id_of(telemetry.current_traceparent())
    log.debug("not shown")
    try:
        raise KeyError("label")
    except KeyError:
        log.exception("failed")
    first, second = lines(tmp_path, "logs")
    assert (first["message"], first["run_id"], first["trace_id"]) == ("epoch 2 开始", "r-17", trace_id)
    assert (first["level"], first["service"], first["instance"]) == ("INFO", "trainer", "t1")
    assert "run_id" not in second
    assert "KeyError: 'label'" in second["error"]
    shown = capsys.readouterr().err.splitlines()
    assert shown[0].endswith("INFO    trainer  epoch 2 开始  run=r-17")


def test_figures_are_in_the_file_after_shutdown(tmp_path: Path) -> None:
    telemetry.configure("ingest", tmp_path)
    telemetry.meter().create_counter("rows", unit="1").add(5, {"part": "train"})
    telemetry.meter().create_histogram("latency", unit="ms").record(4.0)
    telemetry.shutdown()
    latency, rows = sorted(lines(tmp_path, "metrics"), key=lambda line: line["name"])
    assert (rows["value"], rows["attributes"], rows["unit"]) == (5, {"part": "train"}, "1")
    assert (latency["count"], latency["sum"], latency["max"]) == (1, 4.0, 4.0)


def test_files_are_bounded_also_with_two_writers(tmp_path: Path) -> None:
    path = tmp_path / "spans" / "x.jsonl"
    writers = [LineFile(path, limit=2000), LineFile(path, limit=2000)]
    for number in range(400):
        writers[number % 2].write({"number": number, "text": "x" * 50})
    sizes = {file.name: file.stat().st_size for file in path.parent.iterdir()}
    assert set(sizes) == {"x.jsonl", "x.1.jsonl", "x.2.jsonl", "x.3.jsonl"}
    assert max(sizes.values()) <= 2100
    assert json.loads(path.read_text().splitlines()[-1])["number"] == 399
    prune(path.parent, limit=4500)
    assert sum(file.stat().st_size for file in path.parent.iterdir()) <= 4500
    assert path.exists()
    path.unlink()
    writers[0].write({"number": 400})
    assert json.loads(path.read_text())["number"] == 400


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_lines_and_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for signal in ("spans", "logs", "metrics"):
        (tmp_path / "telemetry" / signal).mkdir(parents=True)
        (tmp_path / "telemetry" / signal / "ingest-i1.jsonl").symlink_to("/dev/full")
    configured = telemetry.configure("ingest", tmp_path, "i1")
    for _ in range(3):
        with telemetry.span("read"):
            logging.getLogger("x").warning("still here")
    telemetry.shutdown()
    assert configured.dropped >= 6
    shown = capsys.readouterr().err
    assert shown.count("still here") == 3
    assert shown.count("spans/ingest-i1.jsonl cannot be written") == 1


def test_a_folder_that_cannot_be_made_does_not_stop_the_service(tmp_path: Path) -> None:
    (tmp_path / "telemetry").write_text("a file in the way")
    configured = telemetry.configure("ingest", tmp_path)
    with telemetry.span("read"):
        pass
    assert configured.dropped > 0


def test_all_three_signals_go_to_a_collector(tmp_path: Path, collector: Collector) -> None:
    telemetry.configure("ingest", tmp_path, "i1")
    with telemetry.run_scope("r-1"), telemetry.span("read") as read:
        logging.getLogger("x").warning("一行")
    telemetry.export([CHILD_SPAN])
    telemetry.meter().create_counter("rows").add(5)
    telemetry.shutdown()

    spans = {span.name: (service, span) for service, span in collector.spans()}
    assert spans["read"][0] == "ingest"
    assert spans["read"][1].span_id.hex() == f"{read.get_span_context().span_id:016x}"
    service, child = spans[CHILD_SPAN.name]
    assert (service, child.trace_id.hex(), child.span_id.hex(), child.parent_span_id.hex()) == (
        "trainer", CHILD_SPAN.trace_id, CHILD_SPAN.span_id, CHILD_SPAN.parent_id,
    )  # fmt: skip
    ((_, record),) = collector.logs()
    assert (record.body.string_value, record.trace_id) == ("一行", spans["read"][1].trace_id)
    assert values(record.attributes) == {"run_id": "r-1"}
    assert [(service, metric.name) for service, metric in collector.metrics()] == [("ingest", "rows")]
    assert not (tmp_path / "telemetry" / "spans").exists()


def test_importing_and_configuring_loads_no_exporter_that_is_not_used(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from tidemill import telemetry
assert not any(name.startswith("opentelemetry") for name in sys.modules), "the import alone is free"
telemetry.configure("ingest", Path({str(tmp_path)!r}))
heavy = [name for name in ("requests", "google.protobuf", "opentelemetry.exporter", "rich") if name in sys.modules]
assert not heavy, heavy
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)

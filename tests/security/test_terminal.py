"""Names and errors of strangers that would steer a terminal, or make up lines of a log: spelled out instead."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tidemill.cli.screen import screen
from tidemill.control_characters import spelled_out
from tidemill.telemetry.files import LineFile
from tidemill.telemetry.logs import JsonHandler, ReadableFormatter

HOSTILE = "x\r\n12:00:00.000 INFO    registry  all is well\x1b[2J\x1b]0;title\x07\x9b31m\u202egnp.exe\u2028end"


def record(message: str, *arguments: object, error: Exception | None = None) -> logging.LogRecord:
    info = (type(error), error, None) if error is not None else None
    return logging.LogRecord("test", logging.WARNING, __file__, 1, message, arguments, info)


def test_a_line_of_the_log_stays_one_line() -> None:
    line = ReadableFormatter("ingest").format(record("there is no dataset %s", HOSTILE))
    assert line.isprintable()
    assert r"x\r\n12:00:00.000 INFO" in line
    assert r"\x1b[2J" in line


def test_an_error_below_a_line_has_lines_and_nothing_else() -> None:
    line = ReadableFormatter("ingest").format(record("failed", error=ValueError(HOSTILE)))
    assert all(part.isprintable() for part in line.split("\n"))


def test_the_log_for_machines_has_one_document_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    handler = JsonHandler(LineFile(path), "ingest", "ingest-1")
    handler.emit(record("there is no dataset %s", HOSTILE))
    handler.close()
    (line,) = path.read_bytes().splitlines()
    assert json.loads(line)["message"].endswith(HOSTILE)
    assert b"\x1b" not in line


def test_a_table_of_the_command_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("name", "error")
    table.add_row(escape("[link=http://evil.example]好[/link]"), escape(HOSTILE))
    console = screen()
    console.print(table)
    console.print(f"dataset {escape(HOSTILE)} deleted")
    shown = capsys.readouterr().out
    assert all(part.isprintable() for part in shown.split("\n"))
    assert "[link=http://evil.example]好[/link]" in shown
    assert r"\x1b[2J" in shown


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("评论 – naïve 👍🏽", "עברית", "a\tb\nc"):
        assert spelled_out(text, keep="\n\t") == text

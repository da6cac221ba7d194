"""Log lines: readable ones on standard error, JSON beside the platform's data. Both carry trace and run."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from tidemill.control_characters import spelled_out
from tidemill.telemetry.context import current_run, current_traceparent, trace_id_of
from tidemill.telemetry.files import LineFile


class ReadableFormatter(logging.Formatter):
    """``12:03:04.123 WARNING trainer  lost the lease  run=r-17``; UTC, the error's traceback below."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback when there is one."""
        when = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        run = current_run()
        line = f"{when} {record.levelname:<7} {self._service}  {spelled_out(record.getMessage())}"
        if run:
            line += f"  run={run}"
        if record.exc_info:
            line += "\n" + spelled_out(self.formatException(record.exc_info), keep="\n\t")
        return line


class JsonHandler(logging.Handler):
    """One JSON object a line: time, level, service, instance, logger, message, and trace_id, run_id, error if known."""

    def __init__(self, file: LineFile, service: str, instance: str) -> None:
        super().__init__()
        self._file = file
        self._service = service
        self._instance = instance

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record; never raises."""
        try:
            self._file.write(self._document(record))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _document(self, record: logging.LogRecord) -> dict[str, Any]:
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "service": self._service,
            "instance": self._instance,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if trace_id := trace_id_of(current_traceparent()):
            document["trace_id"] = trace_id
        if run := current_run():
            document["run_id"] = run
        if record.exc_info:
            document["error"] = logging.Formatter().formatException(record.exc_info)
        return document


def install(handlers: list[logging.Handler], level: str) -> None:
    """Make ``handlers`` those of the root logger, in place of the plain one that ``logging.basicConfig`` puts there."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    # Each request of an HTTP client is a span already.
    for chatty in ("httpx", "httpcore", "opentelemetry.attributes"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def remove(handlers: list[logging.Handler]) -> None:
    """Take ``handlers`` away again and close them."""
    for handler in handlers:
        logging.getLogger().removeHandler(handler)
        handler.close()


def readable_handler(service: str) -> logging.Handler:
    """Readable lines on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ReadableFormatter(service))
    return handler

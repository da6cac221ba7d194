"""Log records over OTLP. OpenTelemetry's logs API is still marked as unstable: what is used of it is used here only."""

from __future__ import annotations

import logging
from collections.abc import Callable

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import get_current
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from tidemill.telemetry.context import current_run

_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (0, SeverityNumber.DEBUG),
)


class _OtlpHandler(logging.Handler):
    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(("opentelemetry", "urllib3", "requests")):
            return  # the exporter's own troubles would be exported for ever
        try:
            attributes = {"run_id": run} if (run := current_run()) else {}
            if record.exc_info:
                attributes["exception.stacktrace"] = logging.Formatter().formatException(record.exc_info)
            self._provider.get_logger(record.name).emit(
                LogRecord(
                    timestamp=int(record.created * 1e9),
                    context=get_current(),
                    severity_text=record.levelname,
                    severity_number=next(number for level, number in _SEVERITIES if record.levelno >= level),
                    body=record.getMessage(),
                    attributes=attributes,
                )
            )
        except Exception:
            self.handleError(record)


def open_handler(resource: Resource) -> tuple[logging.Handler, Callable[[], object]]:
    """A logging handler that exports in batches, and what flushes and ends it."""
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    return _OtlpHandler(provider), provider.shutdown

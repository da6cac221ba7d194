"""Which versions' way into service is in their run's trace already, remembered over restarts."""

from __future__ import annotations

import contextlib
import json
import logging
from datetime import datetime
from pathlib import Path

from services.inference.routes.prediction import record_span
from services.inference.serving.version import ServedVersion

log = logging.getLogger(__name__)


class Traced:
    """Kept in ``file``: a restart is no part of the run."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: list[str] = []
        with contextlib.suppress(OSError, ValueError):
            self._seen = [str(one) for one in json.loads(file.read_bytes())]

    def loaded(self, served: ServedVersion, begun: datetime, ended: datetime) -> None:
        """Record the loading and warm-up of a version, and expect its first prediction, once."""
        identity = f"{served.name}/{served.number}/{served.deployed.run_id}"
        if identity in self._seen:
            served.first_prediction_seen = True
            return
        record_span("deploy", served, int(begun.timestamp() * 1e9), int(ended.timestamp() * 1e9))
        self._seen = [*self._seen, identity][-1000:]
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(self._seen, ensure_ascii=False), encoding="utf-8")
        except OSError as error:
            log.warning("%s cannot be written: %s", self._file, error)

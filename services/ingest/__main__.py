"""``python -m services.ingest``: the service's process."""

from __future__ import annotations

import tidemill.startup  # noqa: F401 - has to come first

# isort: split
from services.ingest.app import create_app
from services.ingest.settings import IngestSettings
from tidemill.stage.application import run

if __name__ == "__main__":
    run(create_app, IngestSettings())

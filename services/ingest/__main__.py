"""``python -m services.ingest``: the service's process."""

from __future__ import annotations

import tidemill.startup  # noqa: F401 - has to come first

# isort: split
from services.ingest.app import create_app
from services.ingest.settings import IngestSettings
from tidemill.stage.application import main

if __name__ == "__main__":
    main(create_app, IngestSettings)

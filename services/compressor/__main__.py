"""``python -m services.compressor``: the service's process."""

from __future__ import annotations

import tidemill.startup  # noqa: F401 - has to come first

# isort: split
from services.compressor.app import create_app
from services.compressor.settings import CompressorSettings
from tidemill.stage.application import main

if __name__ == "__main__":
    main(create_app, CompressorSettings)

"""``python -m services.preprocess``: the service's process."""

from __future__ import annotations

import tidemill.startup  # noqa: F401 - has to come first

# isort: split
from services.preprocess.app import create_app
from services.preprocess.settings import PreprocessSettings
from tidemill.stage.application import main

if __name__ == "__main__":
    main(create_app, PreprocessSettings)

"""``python -m services.trainer``: the service's process."""

from __future__ import annotations

import tidemill.startup  # noqa: F401 - has to come first

# isort: split
from services.trainer.app import create_app
from services.trainer.settings import TrainerSettings
from tidemill.stage.application import main

if __name__ == "__main__":
    main(create_app, TrainerSettings)

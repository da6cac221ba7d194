"""``python -m services.registry``: the service's process; ``services.registry.rebuild`` makes its database again."""

from __future__ import annotations

import tidemill.startup  # noqa: F401 - has to come first

# isort: split
from services.registry.app import create_app
from services.registry.settings import RegistrySettings
from tidemill.stage.application import main

if __name__ == "__main__":
    main(create_app, RegistrySettings)

"""``python -m services.registry``."""

from services.registry.app import create_app
from services.registry.settings import RegistrySettings
from tidemill.stage.application import run

if __name__ == "__main__":
    run(create_app, RegistrySettings())

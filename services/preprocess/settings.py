"""Settings of the preprocess service. Read by ``app.py`` alone. Environment variables ``TIDEMILL_PREPROCESS_…``."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from tidemill.settings import StageSettings


class PreprocessSettings(StageSettings):
    """Nothing beyond what every service has: how data is cleaned is the recipe's business."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_PREPROCESS_", frozen=True)

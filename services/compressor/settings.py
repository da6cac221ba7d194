"""Settings of the compressor service. Read by ``app.py`` alone. Environment variables ``TIDEMILL_COMPRESSOR_…``."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from tidemill.settings import StageSettings


class CompressorSettings(StageSettings):
    """What every service has; what is tried and how much quality it may cost stands in the recipe."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_COMPRESSOR_", frozen=True)

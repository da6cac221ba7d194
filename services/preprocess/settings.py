"""Settings of the preprocess service. Read by ``app.py`` alone. Environment variables ``TIDEMILL_PREPROCESS_…``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from tidemill.settings import StageSettings

MOST_PROCESSES = 8
"""Unless more are asked for: the writer behind them is one."""


class PreprocessSettings(StageSettings):
    """Where the machinery around a preparation is; how data is cleaned is the recipe's business."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_PREPROCESS_", frozen=True)

    ray_address: str | None = None
    """Of the Ray cluster that ``data.engine: ray`` computes on (``10.0.0.1:6379``, ``ray://…``, or ``auto`` for the one
    that this machine belongs to). Its nodes need Tidemill, and see this service's ``data_dir`` under the same path."""
    processes: int | None = Field(default=None, ge=1, le=256)
    """Processes that clean the rows of one large dataset, each with some 200 MB of its own; as many as there are
    processors, at most eight, unless it is said here."""
    allowed_hooks: Annotated[tuple[str, ...], NoDecode] = ()
    """Functions of the operator's own that a recipe may name (``data.augment.text.back_translation``): modules, or
    ``module:function``, separated by commas."""

    @field_validator("allowed_hooks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

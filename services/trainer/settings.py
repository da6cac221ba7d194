"""Settings of the trainer. Only ``app.py`` reads them."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from tidemill.contracts import ResourceClass
from tidemill.settings import StageSettings


class TrainerSettings(StageSettings):
    """Environment variables ``TIDEMILL_TRAINER_…``."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_TRAINER_", frozen=True)

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` takes a GPU where torch finds one."""
    checkpoint_every: timedelta = timedelta(minutes=5)
    """Time between two checkpoints of a job; what a killed worker loses at most."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of one job; all cores that the process may use when absent."""
    resource_classes: tuple[ResourceClass, ...] = ("cpu",)
    """Jobs that this worker takes; a machine with a GPU takes ``["cpu", "gpu"]``."""

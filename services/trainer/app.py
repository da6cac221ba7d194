"""The trainer service, joined: settings in, a FastStream application out. Importing this does nothing."""

from __future__ import annotations

from faststream import FastStream

from services.trainer.settings import TrainerSettings
from services.trainer.stage import trainer_stage
from tidemill.stage.application import create_stage_app


def create_app(settings: TrainerSettings) -> FastStream:
    """Training on the device and with the threads that ``settings`` give."""
    stage = trainer_stage(
        checkpoint_every=settings.checkpoint_every,
        device=settings.device,
        threads=settings.threads,
        resource_classes=settings.resource_classes,
    )
    return create_stage_app(stage, settings)

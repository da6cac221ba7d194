"""The preprocess service, joined: settings in, a FastStream application out. Importing this does nothing."""

from __future__ import annotations

from faststream import FastStream

from services.preprocess.settings import MOST_PROCESSES, PreprocessSettings
from services.preprocess.stage import preprocess_stage
from tidemill.jobs.preload import usable_processors
from tidemill.stage.application import create_stage_app


def create_app(settings: PreprocessSettings) -> FastStream:
    """Preparation; what is cleaned and how it is cut stands in the recipe."""
    stage = preprocess_stage(
        ray_address=settings.ray_address, allowed_hooks=settings.allowed_hooks,
        processes=settings.processes or min(MOST_PROCESSES, usable_processors()),
    )  # fmt: skip
    return create_stage_app(stage, settings)

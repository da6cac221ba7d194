"""The compressor service, joined: settings in, a FastStream application out. Importing this does nothing."""

from __future__ import annotations

from faststream import FastStream

from services.compressor.settings import CompressorSettings
from services.compressor.stage import STAGE
from tidemill.stage.application import create_stage_app


def create_app(settings: CompressorSettings) -> FastStream:
    """Compression; what is tried stands in the recipe."""
    return create_stage_app(STAGE, settings)

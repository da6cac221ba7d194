"""The ingest service, joined: settings in, a FastStream application out. Importing this does nothing."""

from __future__ import annotations

from faststream import FastStream

from services.ingest.settings import IngestSettings
from services.ingest.stage import ingest_stage
from tidemill.stage.application import create_stage_app


def create_app(settings: IngestSettings) -> FastStream:
    """Ingest with the source policy and bounds that ``settings`` give."""
    return create_stage_app(ingest_stage(settings.policy, max_cell=settings.max_cell), settings)

"""The ingest service, joined: settings in, a FastStream application out. Importing this does nothing."""

from __future__ import annotations

from faststream import FastStream

from services.ingest.inbox import Inbox
from services.ingest.settings import IngestSettings
from services.ingest.stage import ingest_stage
from tidemill.bus import Bus
from tidemill.bus.consumers import Handler
from tidemill.bus.subjects import BUCKET_NOTIFIED, NOTIFICATIONS_DURABLE
from tidemill.records import RecordStore
from tidemill.stage.application import Beside, create_stage_app
from tidemill.stage.runs import Runs


def create_app(settings: IngestSettings) -> FastStream:
    """Ingest with the source policy and bounds that ``settings`` give, and what buckets tell turned into runs."""

    def inbox(bus: Bus, records: RecordStore, runs: Runs) -> Handler:
        return Inbox(bus, records, runs, settings.inboxes).on_notification

    stage = ingest_stage(settings.policy, max_cell=settings.max_cell)
    return create_stage_app(stage, settings, beside=[Beside(NOTIFICATIONS_DURABLE, BUCKET_NOTIFIED, inbox)])

"""Snapshots: what a URI names is copied into the store before planning, so that it has a digest.

A snapshot is a job like any other, of the resource class ``io``: it waits for a network rather than for a processor, so
that a slow download holds up neither planning nor the work on what is here. What it leaves is committed under a
fingerprint of the run and its epoch: a retry looks at the URI again, a redelivery does not.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from tidemill.contracts import DatasetPublished
from tidemill.stage.job_command import JobCommand

SOURCE = "source"
"""The one output of a snapshot."""

AT_ONCE = 4
"""Snapshots that one replica makes at the same time."""


def snapshot_fingerprint(event: DatasetPublished, epoch: int) -> str:
    """Hex sha256 of what makes one look at a URI different from another."""
    identity = ("snapshot", event.project, event.run_id, str(epoch), event.uri or "")
    return hashlib.sha256("\n".join(identity).encode()).hexdigest()


def snapshot_command(event: DatasetPublished, fingerprint: str, started_at: datetime) -> JobCommand:
    """The job that copies what ``event.uri`` names."""
    return JobCommand(
        project=event.project,
        run_id=event.run_id,
        stage="ingest",
        event=event.model_dump(mode="json"),
        index=0,
        fingerprints=[fingerprint],
        spec={},
        inputs={},
        resource_class="io",
        title="snapshot",
        started_at=started_at,
        snapshot=True,
    )

"""What the tests of sources share: taking a snapshot of a uri."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.ingest.snapshot import snapshot
from services.ingest.sources.policy import SourcePolicy
from tidemill.contracts import DatasetPublished
from tidemill.jobs.report import ProgressReport, SilentReport

Take = Callable[..., Path]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Take a snapshot of ``uri``; gives the folder, a new one each time."""

    def run(
        uri: str,
        *,
        origin: str = "bus",
        policy: SourcePolicy | None = None,
        data: dict[str, Any] | None = None,
        report: ProgressReport | None = None,
    ) -> Path:
        into = tmp_path / f"snapshot-{len(list(tmp_path.iterdir()))}"
        recipe = {"data": data} if data else None
        event = DatasetPublished(run_id="r1", name="reviews", uri=uri, origin=origin, recipe=recipe)
        snapshot(event, into, report or SilentReport(), policy=policy or SourcePolicy())
        return into

    return run

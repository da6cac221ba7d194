"""A canary for every test, which must not have sung at its end."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.access.conftest import bench, http  # noqa: F401
from tests.ingest.conftest import ingest_files  # noqa: F401
from tests.security.canary import Canary
from tests.trainer.conftest import dataset, prepared, recorder, write  # noqa: F401


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    """Planted by the test. It can sing: the same pickle does when it is loaded."""
    control = Canary(tmp_path / "control")
    pickle.loads(control.pickled())
    assert control.sang
    planted = Canary(tmp_path / "cage")
    yield planted
    assert not planted.sang, "somebody loaded a pickle that came with data"

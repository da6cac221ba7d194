"""What all tests share: real servers, and where real datasets are."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tidemill.platform.nats_server import NatsServer
from tidemill.testing.nats import running_nats
from tidemill.testing.postgresql import PostgresServer, running_postgres

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nats_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    """A real server of this module's own; silent workers lose their messages after two seconds."""
    async with running_nats(tmp_path_factory.mktemp("nats"), ack_wait=timedelta(seconds=2)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL server, one for all tests of this process; each makes databases of its own."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real datasets; the test is skipped where it is absent."""
    folder = Path(os.environ.get("TIDEMILL_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real datasets at {folder}; set TIDEMILL_TEST_DATA")
    return folder

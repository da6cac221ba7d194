"""The echo stage as a process of its own, for tests that kill one: ``python -m tidemill.testing.stage_process``."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tidemill.settings import PlatformSettings, StageSettings
from tidemill.stage.application import create_stage_app, run
from tidemill.testing.stages import echo_stage


@asynccontextmanager
async def stage_process(platform: PlatformSettings, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker of the echo stage that consumes from ``platform``; killed with the context if it still runs."""
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    assert platform.nats_password is not None
    environment = {
        "TIDEMILL_NATS_URL": platform.nats_url,
        "TIDEMILL_NATS_USER": platform.nats_user or "",
        "TIDEMILL_NATS_PASSWORD": platform.nats_password.get_secret_value(),
        "TIDEMILL_STORE_URL": platform.store_url,
        "TIDEMILL_DATA_DIR": str(platform.data_dir),
        "TIDEMILL_ACK_WAIT": f"PT{platform.ack_wait.total_seconds()}S",
        "TIDEMILL_READY_FILE": str(ready),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidemill.testing.stage_process", env={**os.environ, **environment}
    )
    try:
        async with asyncio.timeout(30):
            while not ready.exists():
                await asyncio.sleep(0.02)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


if __name__ == "__main__":
    run(lambda settings: create_stage_app(echo_stage(), settings), StageSettings())

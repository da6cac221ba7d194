"""``python -m tidemill.deploy.health``: whether the service of this container is well, for its health check.

Exit status 0 when it is; 1 and a sentence when not. Imports little, since it runs every few seconds beside a service.
"""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path

PATIENCE = 4.0
"""Seconds that the gateway has to answer."""


def main(arguments: list[str]) -> int:
    """``gateway`` asks the gateway whether it is ready; without an argument the service's ready file is looked at."""
    if arguments == ["gateway"]:
        wrong = gateway_ailment(int(os.environ.get("TIDEMILL_INFERENCE_PORT") or 8000))
    elif not arguments and os.environ.get("TIDEMILL_READY_FILE"):
        wrong = process_ailment(Path(os.environ["TIDEMILL_READY_FILE"]))
    else:
        wrong = "call it with `gateway`, or without arguments where TIDEMILL_READY_FILE is set"
    if wrong:
        print(wrong)
    return 1 if wrong else 0


def process_ailment(ready_file: Path) -> str | None:
    """What is wrong with the service that has to have written its process id there; None when it consumes."""
    try:
        pid = int(ready_file.read_text())
        written = ready_file.stat().st_mtime
    except OSError:
        return f"not ready yet: {ready_file} is not there"
    except ValueError:
        return f"{ready_file} holds no process id"
    started = _started(pid)
    if started is None:
        return f"process {pid}, which was ready, has ended"
    if written < started:  # the file of a process before this one, which had the same id
        return f"not ready yet: process {pid} has not written {ready_file}"
    return None


def _started(pid: int) -> float | None:
    """When a living process was started, in seconds since the epoch; None when there is none."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time()) - _CLOCK_TICK
    except psutil.NoSuchProcess:
        return None


_CLOCK_TICK = 0.02
"""Seconds by which the kernel's time of a start may lie behind the file system's clock."""


def gateway_ailment(port: int) -> str | None:
    """What the gateway on this port of the loopback interface says is wrong; None when it is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"the gateway does not answer on port {port}: {error}"
    finally:
        connection.close()
    return None if status == 200 else f"the gateway is not ready: it answers {status}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The supervisor as a process of its own: what ``tidemill up --detach`` starts. Its output is its log."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from tidemill.ending import end_with
from tidemill.errors import TidemillError
from tidemill.platform.data_dir import DataDir, PlatformRecord
from tidemill.platform.programs import PlatformOptions
from tidemill.platform.up import run_platform


def main() -> int:
    """Run the platform that the arguments name; 1 when it does not start."""
    parser = argparse.ArgumentParser(prog="tidemill.platform")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--replicas", action="append", default=[])
    given = parser.parse_args()
    replicas = {name: int(count) for name, _, count in (one.partition("=") for one in given.replicas)}

    def said(line: str) -> None:
        print(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}", flush=True)

    def ready(record: PlatformRecord) -> None:
        said(f"ready at {record.gateway_url} after {record.ready_seconds} s")

    try:
        options = PlatformOptions(port=given.port, host=given.host, replicas=replicas)
        run_platform(DataDir(given.data_dir), options, said=said, ready=ready)
    except TidemillError as error:
        said(str(error))
        return 1
    return 0


if __name__ == "__main__":
    end_with(main)

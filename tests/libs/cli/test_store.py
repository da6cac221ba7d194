"""`tidemill store prepare` against a real S3 protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tidemill.testing.s3 import bucket, s3, s3_endpoint

__all__ = ["bucket", "s3", "s3_endpoint"]


def test_a_bucket_is_made_and_made_again(s3: str, tmp_path: Path) -> None:
    environment = os.environ | {"TIDEMILL_STORE_URL": "s3://tidemill-new/prefix", "TIDEMILL_DATA_DIR": str(tmp_path)}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "tidemill.cli", "store", "prepare", "--json"],
            env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"store_url": "s3://tidemill-new/prefix", "ready": True}

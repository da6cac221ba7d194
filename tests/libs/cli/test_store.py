"""`tidemill store prepare` against a real S3 protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3

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


def test_a_bucket_encrypts_and_notifies_when_told_to(s3: str, bucket: str, tmp_path: Path) -> None:
    environment = os.environ | {"TIDEMILL_STORE_URL": f"s3://{bucket}/prefix", "TIDEMILL_DATA_DIR": str(tmp_path)}

    def prepare(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tidemill.cli", "store", "prepare", *options],
            env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    arn = "arn:aws:sqs:us-east-1:123456789012:somewhere"
    done = prepare("--encrypt", "--notify", arn)
    assert done.returncode == 0, done.stderr
    client = boto3.client("s3", endpoint_url=s3)
    assert client.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"][0]["QueueArn"] == arn
    assert client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    refused = prepare("--notify", "arn:minio:sqs::TIDEMILL:nats")
    assert refused.returncode == 1
    assert "MINIO_NOTIFY_NATS" in refused.stderr
    assert "Traceback" not in refused.stderr

"""Bucket notifications for tests, as MinIO's server sends them to its NATS target.

Source: MinIO, ``cmd/event-notification.go`` (``ToEvent``) and ``internal/event/target/nats.go`` (``send``).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

VERSION = "b8a5e3a2-9f0d-4b58-9e4c-0c9b6d1f2a11"


def minio_notification(
    bucket: str, key: str, *, event: str = "s3:ObjectCreated:Put", version: str = VERSION, etag: str = "d41d8cd9",
    sequencer: str = "17E5A0B1C2D3E4F5", size: int = 224,
) -> bytes:  # fmt: skip
    """The message about one object."""
    stored: dict[str, Any] = {"key": quote_plus(key), "sequencer": sequencer}
    if version:
        stored["versionId"] = version
    if "ObjectRemoved" not in event:
        stored |= {"eTag": etag, "size": size, "contentType": "text/csv", "userMetadata": {"content-type": "text/csv"}}
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "eventName": event,
        "userIdentity": {"principalId": "tidemill"},
        "requestParameters": {"principalId": "tidemill", "region": "", "sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "17E5A0B1", "x-minio-origin-endpoint": "http://127.0.0.1:9000"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": {
                "name": bucket, "ownerIdentity": {"principalId": "tidemill"}, "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": stored,
        },
        "source": {"host": "127.0.0.1", "port": "", "userAgent": "MinIO (linux; amd64) minio-go/v7.0.90"},
    }  # fmt: skip
    return json.dumps({"EventName": event, "Key": f"{bucket}/{key}", "Records": [record]}).encode()

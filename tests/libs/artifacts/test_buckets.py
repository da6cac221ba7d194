"""What a bucket is asked to do beside keeping objects: notify and encrypt, and what is said where it will not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tidemill.artifacts.buckets import prepare_bucket
from tidemill.errors import InvalidInput, PermanentError


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        pass


@pytest.fixture
def keyless_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An S3 server that has no keys to encrypt with, and says so as MinIO does."""
    backend = DomainDispatcherApplication(create_backend_app)

    def without_keys(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] == "GET" and environ["QUERY_STRING"].startswith("encryption"):
            start_response("404 Not Found", [("Content-Type", "application/xml")])
            return [b"<Error><Code>ServerSideEncryptionConfigurationNotFoundError</Code></Error>"]
        if environ["REQUEST_METHOD"] == "PUT" and environ["QUERY_STRING"].startswith("encryption"):
            start_response("501 Not Implemented", [("Content-Type", "application/xml")])
            return [b"<Error><Code>NotImplemented</Code><Message>KMS is not configured</Message></Error>"]
        return backend(environ, start_response)

    server = make_server("127.0.0.1", 0, without_keys, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tidemill-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    yield
    server.shutdown()
    thread.join()


@pytest.fixture
def queue(s3: str, bucket: str) -> tuple[str, Any]:
    """A queue that a bucket can tell: its ARN, and what reads and empties it."""
    sqs = boto3.client("sqs", endpoint_url=s3, region_name="us-east-1")
    url = sqs.create_queue(QueueName=bucket)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def received() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    return arn, received


async def test_a_bucket_tells_of_new_objects_in_its_inbox_alone(s3: str, bucket: str, queue: tuple[str, Any]) -> None:
    arn, received = queue
    for _ in range(2):
        await prepare_bucket(f"s3://{bucket}/platform", notify=arn)
    client = boto3.client("s3", endpoint_url=s3)
    (rule,) = client.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    assert rule["Id"] == "tidemill-inbox"
    assert sorted(rule["Events"]) == [
        f"s3:ObjectCreated:{how}" for how in ("CompleteMultipartUpload", "Copy", "Post", "Put")
    ]
    received()
    for key in ("inbox/default/reviews/a.csv", "artifacts/objects/ab/abc", "inboxes/a.csv"):
        client.put_object(Bucket=bucket, Key=key, Body=b"text,label\n")
    client.delete_object(Bucket=bucket, Key="inbox/default/reviews/a.csv")
    (told,) = received()
    assert told["Records"][0]["s3"]["object"]["key"] in (
        "inbox/default/reviews/a.csv", "inbox%2Fdefault%2Freviews%2Fa.csv",
    )  # fmt: skip


async def test_other_notifications_of_the_bucket_stay(s3: str, bucket: str, queue: tuple[str, Any]) -> None:
    arn, _ = queue
    await prepare_bucket(f"s3://{bucket}")
    client = boto3.client("s3", endpoint_url=s3)
    theirs = {"Id": "theirs", "QueueArn": arn, "Events": ["s3:ObjectRemoved:*"]}
    client.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [theirs]}
    )
    await prepare_bucket(f"s3://{bucket}", notify=arn)
    rules = client.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    assert {rule["Id"] for rule in rules} == {"theirs", "tidemill-inbox"}


async def test_a_target_that_the_store_does_not_know_is_named_with_what_to_do(s3: str, bucket: str) -> None:
    with pytest.raises(PermanentError, match=r"cannot notify 'arn:minio:sqs::TIDEMILL:nats': .*MINIO_NOTIFY_NATS"):
        await prepare_bucket(f"s3://{bucket}", notify="arn:minio:sqs::TIDEMILL:nats")


async def test_new_objects_are_encrypted_by_the_service(s3: str, bucket: str) -> None:
    client = boto3.client("s3", endpoint_url=s3)
    await prepare_bucket(f"s3://{bucket}", encrypt=True)
    (rule,) = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    client.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert client.head_object(Bucket=bucket, Key="a")["ServerSideEncryption"] == "AES256"
    rule["ApplyServerSideEncryptionByDefault"] = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/ours"}
    client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    await prepare_bucket(f"s3://{bucket}", encrypt=True)
    (rule,) = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms", "what is there stays"


async def test_a_service_without_keys_says_how_to_get_one(keyless_s3: None, bucket: str) -> None:
    await prepare_bucket(f"s3://{bucket}")
    with pytest.raises(PermanentError, match=r"cannot encrypt: NotImplemented: KMS is not .*MINIO_KMS_SECRET_KEY"):
        await prepare_bucket(f"s3://{bucket}", encrypt=True)


@pytest.mark.parametrize("wanted", [{"notify": "arn:minio:sqs::TIDEMILL:nats"}, {"encrypt": True}])
async def test_a_folder_can_do_neither(tmp_path: Path, wanted: Any) -> None:
    with pytest.raises(InvalidInput, match="neither notifies nor encrypts"):
        await prepare_bucket(str(tmp_path), **wanted)

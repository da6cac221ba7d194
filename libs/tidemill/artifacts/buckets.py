"""Making a bucket fit for Tidemill, through the ``minio`` SDK: a deploy step, never part of a service's start.

Knows nothing of what is kept in it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.credentials.credentials import Credentials
from minio.credentials.providers import AWSConfigProvider, ChainedProvider, EnvAWSProvider, IamAwsProvider, Provider
from minio.error import MinioException, S3Error
from minio.lifecycleconfig import (
    AbortIncompleteMultipartUpload,
    LifecycleConfig,
    NoncurrentVersionExpiration,
    Rule,
)
from minio.notificationconfig import NotificationConfig, PrefixFilterRule, QueueConfig
from minio.sseconfig import Rule as EncryptionRule
from minio.sseconfig import SSEConfig
from minio.versioningconfig import VersioningConfig

from tidemill.artifacts.location import Bucket, Folder, parse_location, s3_endpoint
from tidemill.artifacts.s3 import CredentialsFile, credentials_file, tls_context
from tidemill.errors import InvalidInput, PermanentError, TransientError
from tidemill.inbox import CREATED, INBOX

OLD_VERSION_DAYS = 30
"""Days for which what was deleted from the artifacts can be brought back."""
UPLOAD_DAYS = 7

_INBOX_RULE = "tidemill-inbox"
_OURS_ALREADY = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


class NotOffered(PermanentError):
    """The service does not do what was asked of the bucket, or is not configured to; says what to do."""


async def prepare_bucket(url: str, *, notify: str | None = None, encrypt: bool = False) -> None:
    """Create the bucket of ``s3://bucket/prefix`` if it is absent and turn its versioning on. Safe to repeat.

    Versioning keeps what an accident or an intruder deletes, and also what the garbage collection frees: a bucket
    without lifecycle rules gets one that ends old versions of artifacts after ``OLD_VERSION_DAYS`` and uploads that
    were never completed after ``UPLOAD_DAYS``. Rules that are there stay as they are. A local folder needs nothing.

    ``notify`` is the ARN of a target that is to be told of new objects below ``inbox/`` (MinIO's NATS target has
    ``arn:minio:sqs::<its name>:nats``); the bucket's other notifications stay. ``encrypt`` has the service encrypt new
    objects with keys of its own (SSE-S3), unless the bucket encrypts already.

    The endpoint is ``AWS_ENDPOINT_URL`` (``https://s3.amazonaws.com`` without it). Credentials and region come from
    ``TIDEMILL_STORE_CREDENTIALS_FILE``, the environment, AWS's configuration files or the instance's role.

    Raises:
        InvalidInput: the URL or the endpoint is not usable, or the bucket's name is not; or a local folder is to do
            what only a service can.
        NotOffered: it cannot notify, or not this target; or cannot encrypt. All else is done then.
        PermanentError: the service refuses; says which right is missing.
        TransientError: the service cannot be reached.
    """
    location = parse_location(url)
    if isinstance(location, Folder):
        if notify or encrypt:
            raise InvalidInput(f"{location.url} is a folder, which neither notifies nor encrypts; name an s3:// store")
        return
    await asyncio.to_thread(_prepare, bucket_client(), location, notify, encrypt)


async def is_versioned(url: str) -> bool | None:
    """Whether the bucket of ``s3://bucket/prefix`` keeps what is deleted; None for a local folder.

    Raises:
        InvalidInput, PermanentError, TransientError: as ``prepare_bucket``.
    """
    location = parse_location(url)
    if isinstance(location, Folder):
        return None
    client = bucket_client()
    with bucket_errors(location.name):
        return bool((await asyncio.to_thread(client.get_bucket_versioning, location.name)).status == ENABLED)


def bucket_client() -> Minio:
    """A client of the service that the environment names. Raises InvalidInput when the endpoint is no URL."""
    parts = urlsplit(s3_endpoint())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput("AWS_ENDPOINT_URL is not a URL; write https://host:port")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    host = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
    return Minio(
        host,
        secure=parts.scheme == "https",
        region=region,
        credentials=_credentials(),
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=5, read=30),
            retries=urllib3.Retry(total=2, backoff_factor=0.2),
            ssl_context=tls_context(),
        ),
    )


class _FileProvider(Provider):
    """Those of a file, as they are when a request is signed."""

    def __init__(self, file: CredentialsFile) -> None:
        self._file = file

    def retrieve(self) -> Credentials:
        found = self._file.read()
        return Credentials(found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"], found.get("AWS_SESSION_TOKEN"))


def _credentials() -> Provider:
    file = credentials_file()
    if file is not None:
        return _FileProvider(file)
    return ChainedProvider([EnvAWSProvider(), AWSConfigProvider(), IamAwsProvider()])


def _prepare(client: Minio, location: Bucket, notify: str | None, encrypt: bool) -> None:
    bucket = location.name
    with bucket_errors(bucket):
        if not client.bucket_exists(bucket):
            _create(client, bucket)
        if client.get_bucket_versioning(bucket).status != ENABLED:
            client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
        if client.get_bucket_lifecycle(bucket) is None:
            client.set_bucket_lifecycle(bucket, _lifecycle(location.prefix))
        if encrypt and client.get_bucket_encryption(bucket) is None:
            with _advice("encrypt", "give the service a key (MinIO: MINIO_KMS_SECRET_KEY), or do without --encrypt"):
                client.set_bucket_encryption(bucket, SSEConfig(EncryptionRule.new_sse_s3_rule()))
        if notify:
            with _advice(f"notify {notify!r}", "configure the target (MinIO: MINIO_NOTIFY_NATS_…), or correct its ARN"):
                client.set_bucket_notification(bucket, _notifications(client.get_bucket_notification(bucket), notify))


@contextmanager
def _advice(what: str, advice: str) -> Iterator[None]:
    """What to do where the service refuses the block for another reason than a missing right."""
    try:
        yield
    except S3Error as error:
        if error.response.status in (401, 403) or (error.response.status >= 500 and error.code != "NotImplemented"):
            raise
        raise NotOffered(f"the bucket cannot {what}: {error.code}: {error.message}; {advice}") from error


@contextmanager
def bucket_errors(bucket: str, verb: str = "prepare") -> Iterator[None]:
    """Turn what the client raises into our errors; ``verb`` says what cannot be done to the bucket."""
    try:
        yield
    except S3Error as error:
        if error.response.status >= 500:
            raise TransientError(f"cannot {verb} bucket {bucket!r}: {error.code}: {error.message}") from error
        raise PermanentError(
            f"cannot {verb} bucket {bucket!r}: {error.code}: {error.message}; check that the AWS_… credentials may "
            "create buckets, see and set their versioning, lifecycle, encryption and notifications, and list and "
            "delete versions of objects"
        ) from error
    except ValueError as error:
        raise InvalidInput(f"bucket {bucket!r}: {error}") from error
    except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
        raise TransientError(f"cannot {verb} bucket {bucket!r}: {error}") from error


def _lifecycle(prefix: str) -> LifecycleConfig:
    return LifecycleConfig(
        [
            Rule(
                ENABLED,
                rule_id="tidemill-artifacts",
                rule_filter=Filter(prefix=f"{prefix}/artifacts/".lstrip("/")),
                noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=OLD_VERSION_DAYS),
                abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(days_after_initiation=UPLOAD_DAYS),
            )
        ]
    )


def _notifications(there: NotificationConfig, notify: str) -> NotificationConfig:
    """Those that are there, and that of the inbox in place of an earlier one."""
    ours = QueueConfig(
        queue=notify, events=list(CREATED), config_id=_INBOX_RULE, prefix_filter_rule=PrefixFilterRule(f"{INBOX}/")
    )
    others = [one for one in there.queue_config_list if one.config_id != _INBOX_RULE]
    return NotificationConfig(there.cloud_func_config_list, [*others, ours], there.topic_config_list)


def _create(client: Minio, bucket: str) -> None:
    try:
        client.make_bucket(bucket)
    except S3Error as error:
        if error.code not in _OURS_ALREADY:  # somebody else prepared it at the same time
            raise

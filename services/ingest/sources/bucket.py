"""Downloads an object, or the data files below a prefix, from S3. Credentials and endpoint are the platform's own."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path, PurePosixPath

import obstore
from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from services.ingest.layout import choose_files
from services.ingest.sources.policy import Origin, SourcePolicy
from services.ingest.sources.transfer import Transfer
from tidemill.errors import InvalidInput, TransientError

_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$")
_CHUNK = 1 << 20
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
)
"""Variables that say where credentials are; without any of them the library would ask the link-local address of a
cloud's metadata service, for minutes where there is none."""
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_MAY_PASS = frozenset((408, 429))


def download_objects(uri: str, into: Path, transfer: Transfer, *, policy: SourcePolicy, origin: Origin) -> None:
    """Download ``s3://bucket/key``, or the data files directly below ``s3://bucket/prefix``, streamed into ``into``.

    Endpoint, region and credentials come from the environment (``AWS_…``) alone; the address cannot override them.
    Without credentials there, requests are not signed, which public buckets allow; to use the role of a cloud's
    machine, set ``AWS_METADATA_ENDPOINT``.

    Raises:
        InvalidInput: a wrong address, no such object, no access, too large, or refused by the policy.
        TransientError: the store cannot be reached, or fails by itself.
    """
    bucket, key = _parsed(uri)
    policy.check_object(bucket, key, origin)
    signed = any(os.environ.get(name) for name in _CREDENTIALS)
    try:
        store = S3Store(
            bucket,
            config=None if signed else {"skip_signature": True},
            client_options={"allow_http": True, "connect_timeout": "10s", "timeout": "1h"},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
        )
        objects = _objects(store, key, uri)
        transfer.expect(sum(size for _, size in objects))
        for path, _ in objects:
            stream = obstore.get(store, path).stream(min_chunk_size=_CHUNK)
            transfer.write(into / PurePosixPath(path).name, (bytes(chunk) for chunk in stream))
    except (BaseError, FileNotFoundError) as error:
        raise _explained(error, uri, signed) from error


def _parsed(uri: str) -> tuple[str, str]:
    bucket, _, key = uri[len("s3://") :].partition("/")
    key = key.strip("/")
    odd_parts = key and not {"", ".", ".."}.isdisjoint(key.split("/"))
    if not _BUCKET.match(bucket) or "?" in key or "#" in key or odd_parts:
        raise InvalidInput(f"{uri!r} is not an address of the form s3://bucket/key")
    return bucket, key


def _explained(error: Exception, uri: str, signed: bool) -> InvalidInput | TransientError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    # A listing fails with one type of error for every status.
    named = _STATUS.search(reason)
    status = int(named[1]) if named else 0
    if isinstance(error, (NotFoundError, FileNotFoundError)) or status == 404:
        return InvalidInput(f"there is no object {uri}; check bucket and key")
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or status in (401, 403):
        if signed:
            return InvalidInput(f"{uri} may not be read with the platform's credentials; grant it read access")
        return InvalidInput(f"{uri} may not be read without credentials, and ingest has none; set AWS_ACCESS_KEY_ID")
    if status >= 500 or status in _MAY_PASS or (not status and "HTTP error" in reason):
        return TransientError(f"{uri} could not be read: {reason}")
    return InvalidInput(f"{uri} cannot be read: {reason}; check bucket, AWS_REGION and AWS_ENDPOINT_URL")


def _objects(store: S3Store, key: str, uri: str) -> list[tuple[str, int]]:
    if key:
        try:
            found = obstore.head(store, key)
            return [(found["path"], found["size"])]
        except (NotFoundError, FileNotFoundError):
            pass
    listed = obstore.list_with_delimiter(store, f"{key}/" if key else None)["objects"]
    below = {PurePosixPath(entry["path"]).name: (entry["path"], entry["size"]) for entry in listed}
    if not below:
        raise InvalidInput(f"there is no object {uri}; check bucket and key")
    return [below[name] for name in choose_files(list(below), uri)]

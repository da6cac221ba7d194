"""Downloads an object, or all visible objects below a prefix, from S3, with the platform's own credentials."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from services.ingest.sources.policy import Origin, SourcePolicy
from services.ingest.sources.transfer import Transfer
from tidemill.artifacts.s3 import CREDENTIALS_FILE, authority, credentials_file
from tidemill.errors import InvalidInput, TransientError
from tidemill.file_names import FileNames, is_hidden

if TYPE_CHECKING:
    from obstore.store import ClientConfig

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
    """Download ``s3://bucket/key``, or what is below ``s3://bucket/prefix``, streamed into ``into``; folders stay.

    Endpoint, region, credentials and authority are the store's own (``AWS_…``, ``tidemill.artifacts.s3``); the address
    cannot override them.
    Without credentials there, requests are not signed, which public buckets allow; to use the role of a cloud's
    machine, set ``AWS_METADATA_ENDPOINT``.

    Raises:
        InvalidInput: a wrong address, no such object, no access, too large, or refused by the policy.
        TransientError: the store cannot be reached, or fails by itself.
    """
    bucket, key = _parsed(uri)
    policy.check_object(bucket, key, origin)
    signed = _signed()
    try:
        store = _store(bucket)
        objects = _one(store, key)
        if objects is None:
            policy.check_prefix(bucket, key, origin)
            objects = _below(store, key, uri, transfer)
        transfer.expect(sum(found.size for found in objects))
        for found in objects:
            stream = obstore.get(store, found.key).stream(min_chunk_size=_CHUNK)
            transfer.write(into / found.name, (bytes(chunk) for chunk in stream))
    except (BaseError, FileNotFoundError) as error:
        raise _explained(error, uri, signed) from error


def read_small_object(bucket: str, key: str, *, most_bytes: int) -> bytes | None:
    """An object as it is, with the same credentials; None when there is none.

    Raises:
        InvalidInput: it is larger than ``most_bytes``, or may not be read.
        TransientError: the store cannot be reached, or fails by itself.
    """
    uri = f"s3://{bucket}/{key}"
    try:
        found = obstore.get(_store(bucket), key)
        if found.meta["size"] > most_bytes:
            raise InvalidInput(f"{uri} has {found.meta['size']:,} bytes, at most {most_bytes:,} are read")
        return bytes(found.bytes())
    except (NotFoundError, FileNotFoundError):
        return None
    except BaseError as error:
        raise _explained(error, uri, _signed()) from error


def _signed() -> bool:
    return any(os.environ.get(name) for name in (CREDENTIALS_FILE, *_CREDENTIALS))


def _store(bucket: str) -> S3Store:
    options: ClientConfig = {"allow_http": True, "connect_timeout": "10s", "timeout": "1h"}
    trusted = authority()
    if trusted is not None:
        options["root_certificate"] = trusted
    return S3Store(
        bucket,
        config=None if _signed() else {"skip_signature": True},
        client_options=options,
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
        credential_provider=credentials_file(),
    )


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


@dataclass(frozen=True)
class _Object:
    """An object, and its name in the copy."""

    key: str
    size: int
    name: str


def _one(store: S3Store, key: str) -> list[_Object] | None:
    """The object ``key`` alone; None when there is none."""
    if not key:
        return None
    try:
        found = obstore.head(store, key)
    except (NotFoundError, FileNotFoundError):
        return None
    return [_Object(found["path"], found["size"], PurePosixPath(found["path"]).name)]


def _below(store: S3Store, key: str, uri: str, transfer: Transfer) -> list[_Object]:
    """The visible objects below the prefix ``key``, in the order of their keys."""
    names = FileNames(uri)
    objects: list[_Object] = []
    hidden = 0
    for entries in obstore.list(store, f"{key}/" if key else None):
        for entry in entries:
            name = entry["path"].removeprefix(f"{key}/" if key else "")
            if is_hidden(name):
                hidden += 1
            # Consoles mark folders by empty objects.
            elif name and not entry["path"].endswith("/"):
                objects.append(_Object(entry["path"], entry["size"], names.add(name)))
        transfer.expect_files(len(objects))
        transfer.expect(sum(found.size for found in objects))
    if not objects:
        raise InvalidInput(f"there is no object {uri}; check bucket and key")
    if hidden:
        transfer.say(f"{hidden:,} hidden objects left out")
    return sorted(objects, key=lambda found: found.key)

"""Downloads an object, or the data files below a prefix, from S3. Credentials and endpoint are the platform's own."""

from __future__ import annotations

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


def download_objects(uri: str, into: Path, transfer: Transfer, *, policy: SourcePolicy, origin: Origin) -> None:
    """Download ``s3://bucket/key``, or the data files directly below ``s3://bucket/prefix``, streamed into ``into``.

    Endpoint, region and credentials come from the environment (``AWS_…``) alone; the address cannot override them.

    Raises:
        InvalidInput: a wrong address, no such object, no access, too large, or refused by the policy.
        TransientError: the store cannot be reached.
    """
    bucket, _, key = uri[len("s3://") :].partition("/")
    if not _BUCKET.match(bucket) or "?" in key or "#" in key:
        raise InvalidInput(f"{uri!r} is not an address of the form s3://bucket/key")
    policy.check_bucket(bucket, origin)
    key = key.strip("/")
    try:
        store = S3Store(
            bucket,
            client_options={"allow_http": True, "connect_timeout": "10s", "timeout": "1h"},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
        )
        objects = _objects(store, key, uri)
        transfer.expect(sum(size for _, size in objects))
        for path, _ in objects:
            stream = obstore.get(store, path).stream(min_chunk_size=_CHUNK)
            transfer.write(into / PurePosixPath(path).name, (bytes(chunk) for chunk in stream))
    except (NotFoundError, FileNotFoundError):
        raise InvalidInput(f"there is no object {uri}; check bucket and key") from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise InvalidInput(f"{uri} may not be read with the platform's credentials; grant it read access") from None
    except BaseError as error:
        raise TransientError(f"{uri} could not be read: {str(error).splitlines()[0]}") from error


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

"""Removing what a bucket keeps of objects that were deleted. Knows nothing of what is kept in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minio.deleteobjects import DeleteObject

from tidemill.artifacts.buckets import bucket_client, bucket_errors
from tidemill.artifacts.location import Bucket

_AT_ONCE = 1000
"""Versions in one request, as many as S3 takes."""


def remove_old_versions(location: Bucket, keys: Sequence[str]) -> list[str]:
    """Delete every version of ``keys`` (below the prefix of ``location``) but one that is in use, and what marks them
    as deleted.

    Returns:
        What the service refused, a sentence for each version: a lock, or a right that is missing.

    Raises:
        PermanentError: the service refuses to list or delete versions at all.
        TransientError: it cannot be reached.
    """
    client = bucket_client()
    refused: list[str] = []
    with bucket_errors(location.name, "remove old versions in"):
        versions: list[DeleteObject] = []
        for key in keys:
            name = f"{location.prefix}/{key}".lstrip("/")
            found = client.list_objects(location.name, prefix=name, recursive=True, include_version=True)
            versions += [
                DeleteObject(one.object_name, one.version_id)
                for one in found
                if one.object_name == name and (one.is_delete_marker or str(one.is_latest).lower() != "true")
            ]
        for some in _pages(versions):
            refused += [
                f"{error.name} ({error.version_id}): {error.code}: {error.message}"
                for error in client.remove_objects(location.name, some)
            ]
    return refused


def _pages(versions: Sequence[DeleteObject]) -> Iterator[Sequence[DeleteObject]]:
    for start in range(0, len(versions), _AT_ONCE):
        yield versions[start : start + _AT_ONCE]

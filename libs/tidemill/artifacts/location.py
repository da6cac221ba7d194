"""Where a store is: a local folder, ``file://`` or ``s3://bucket/prefix``. Knows no client library."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tidemill.errors import InvalidInput


@dataclass(frozen=True)
class Folder:
    """A folder of this machine."""

    path: Path

    @property
    def url(self) -> str:
        """The absolute path: safe to show."""
        return str(self.path)


@dataclass(frozen=True)
class Bucket:
    """A bucket of an S3 service and the prefix below which everything is kept (``""`` for none)."""

    name: str
    prefix: str

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``: safe to show, since credentials are never part of it."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


def s3_endpoint() -> str:
    """Where S3 answers: ``AWS_ENDPOINT_URL_S3``, else ``AWS_ENDPOINT_URL``, else AWS."""
    given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return given or "https://s3.amazonaws.com"


_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]+):")


def parse_location(url: str) -> Folder | Bucket:
    """What ``url`` names.

    Raises:
        InvalidInput: another scheme, no bucket, or credentials in the URL (which are not repeated in the message).
    """
    scheme = _SCHEME.match(url)
    if not url.strip():
        raise InvalidInput("the store's URL is empty; give a folder, file:///folder or s3://bucket/prefix")
    if scheme is None:
        return Folder(Path(url).expanduser().absolute())
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise InvalidInput(f"store {url!r} names another machine; write file:///folder with three slashes")
        return Folder(Path(unquote(parts.path)).absolute())
    if parts.scheme == "s3":
        if "@" in parts.netloc:
            raise InvalidInput(
                f"the store's URL holds credentials (bucket {parts.netloc.rpartition('@')[2]!r}); "
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
            )
        if not parts.netloc or parts.query or parts.fragment:
            raise InvalidInput(f"store {url!r} is not of the form s3://bucket/prefix")
        return Bucket(parts.netloc, unquote(parts.path).strip("/"))
    raise InvalidInput(f"a store cannot be at {scheme[1]}://; give a folder, file:///folder or s3://bucket/prefix")

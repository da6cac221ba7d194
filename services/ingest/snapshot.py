"""Copies what a published ``uri`` names into a folder, so that it gets a digest. Chooses the way by the scheme."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from services.ingest.sources.policy import SourcePolicy
from services.ingest.sources.transfer import Transfer
from tidemill.contracts import DatasetPublished
from tidemill.errors import InvalidInput, TransientError
from tidemill.jobs.report import ProgressReport

_SCHEME = re.compile(r"^(?:([a-z][a-z0-9+.\-]*)://|(file):/)", re.IGNORECASE)


def snapshot(event: DatasetPublished, into: Path, report: ProgressReport, *, policy: SourcePolicy) -> None:
    """Copy the file, or the data files of the folder, that ``event.uri`` names into the directory ``into``.

    Raises:
        InvalidInput: the uri is wrong, names nothing, or the policy refuses it.
        TransientError: the network, the server or the disk fails in a way that may pass.
    """
    if event.uri is None:
        raise InvalidInput("the event names no uri to read")
    uri = event.uri.strip()
    into.mkdir(parents=True, exist_ok=True)
    transfer = Transfer(policy, report, "the dataset")
    named = _SCHEME.match(uri)
    scheme = (named[1] or named[2]).lower() if named else ""
    try:
        if scheme in ("", "file"):
            from services.ingest.sources.local import copy_local

            copy_local(_local_path(uri, scheme), into, transfer, policy=policy, origin=event.origin)
        elif scheme in ("http", "https"):
            from services.ingest.sources.web import download

            download(uri, into, transfer, public_only=policy.public_only(event.origin))
        elif scheme == "s3":
            from services.ingest.sources.bucket import download_objects

            download_objects(uri, into, transfer, policy=policy, origin=event.origin)
        else:
            raise InvalidInput(
                f"a uri of the scheme {scheme!r} cannot be read; give an absolute path, file://, http(s):// or s3://"
            )
    except OSError as error:
        raise TransientError(f"copying the dataset failed: {error.strerror or error}") from error


def _local_path(uri: str, scheme: str) -> Path:
    if not scheme:
        path = uri
    else:
        # Not urlsplit: it cuts at '#' and '?', which are ordinary characters in a path.
        rest = uri[len("file:") :]
        host = rest[2:].partition("/")[0] if rest.startswith("//") else ""
        if host not in ("", "localhost"):
            raise InvalidInput(f"{uri!r} names another machine ({host!r}); a local path is file:///path")
        path = unquote(rest.removeprefix(f"//{host}"))
    if "\x00" in path:
        raise InvalidInput("the path holds a NUL character")
    return Path(path)

"""Copies what a published ``uri`` names into a folder, so that it gets a digest. Chooses the way by the scheme."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from urllib.parse import unquote

from services.ingest.sources.policy import SourcePolicy
from services.ingest.sources.transfer import Transfer
from tidemill.contracts import DatasetPublished, RecipeError, parse_recipe
from tidemill.contracts.source_uri import DATABASES, check_secrets, is_database
from tidemill.errors import InvalidInput, TransientError
from tidemill.jobs.report import ProgressReport

_SCHEME = re.compile(r"^(?:([a-z][a-z0-9+.\-]*)://|(file):/)", re.IGNORECASE)


_MAY_PASS = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EBUSY, errno.EAGAIN,
     errno.ENOMEM, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.EPIPE,
     errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH)
)  # fmt: skip
_ADVICE = {
    errno.ENAMETOOLONG: "a name in its path is too long; give the file a shorter one",
    errno.ELOOP: "symbolic links in its path lead in a circle; name the file itself",
    errno.EISDIR: "a folder is where a file was expected; name a data file",
}


def snapshot(event: DatasetPublished, into: Path, report: ProgressReport, *, policy: SourcePolicy) -> None:
    """Copy what ``event.uri`` names into the directory ``into``: a file, all visible files of a folder with their
    relative paths, or the rows that ``data.query`` of the recipe selects.

    Raises:
        InvalidInput: the uri is wrong, names nothing, or the policy refuses it.
        TransientError: the network, the server or the disk fails in a way that may pass.
    """
    if event.uri is None:
        raise InvalidInput("the event names no uri to read")
    uri = event.uri.strip()
    query, database = _query(event), is_database(uri)
    if query is not None and not database:
        raise InvalidInput("data.query is set, but the uri is not a database; remove data.query from the recipe")
    try:
        check_secrets(uri)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
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

            download(uri, into, transfer, policy=policy, origin=event.origin)
        elif scheme == "s3":
            from services.ingest.sources.bucket import download_objects

            download_objects(uri, into, transfer, policy=policy, origin=event.origin)
        elif scheme == "hf":
            from services.ingest.sources.hub import download_from_hub

            download_from_hub(uri, into, transfer, policy=policy, origin=event.origin)
        elif database:
            from services.ingest.sources.query import copy_query

            copy_query(uri, query, into, transfer, policy=policy, origin=event.origin)
        else:
            raise InvalidInput(
                f"a uri of the scheme {scheme!r} cannot be read; give an absolute path, file://, http(s)://, s3://, "
                f"hf://datasets/…, {' or '.join(f'{kind}://' for kind in DATABASES)}"
            )
    except OSError as error:
        raise _explained(error) from error


def _query(event: DatasetPublished) -> str | None:
    try:
        return parse_recipe(event.recipe).data.query
    except RecipeError as error:
        raise InvalidInput(str(error)) from None


def _explained(error: OSError) -> InvalidInput | TransientError:
    reason = error.strerror or str(error) or type(error).__name__
    # A time-out of a socket has no number.
    if error.errno in _MAY_PASS or isinstance(error, TimeoutError):
        return TransientError(f"copying the dataset failed: {reason}")
    advice = _ADVICE.get(error.errno or 0, f"{reason}; check what the uri names and the folder it is copied to")
    return InvalidInput(f"the dataset cannot be copied: {advice}")


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

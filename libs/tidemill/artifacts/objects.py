"""Keys and bytes: the few operations on object storage that artifacts and records are made of.

Wraps ``obstore`` and turns its errors into ours. Knows neither manifests nor records.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    InvalidPathError,
    NotSupportedError,
)
from obstore.store import LocalStore, S3Store

from tidemill.artifacts.local_files import remove
from tidemill.artifacts.location import Bucket, Folder, parse_location, s3_endpoint
from tidemill.artifacts.refusals import one_line, refusal
from tidemill.artifacts.s3 import authority, credentials_file
from tidemill.errors import NotFound, PermanentError, TidemillError, TransientError
from tidemill.telemetry import measures

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

PART_SIZE = 5 * 1024 * 1024
"""Bytes of one part of a streamed upload (S3 takes no smaller ones) and of one ranged read."""

STORE_KEYS = "keys"
"""Where the keys are that a store is encrypted with; a plain one has none."""

_CONNECT_TIMEOUT = timedelta(seconds=5)
_REQUEST_TIMEOUT = timedelta(seconds=120)
_CREATES = 4
"""Tries of a create-only write whose connection was cut: ``obstore`` repeats requests that any number of times do the
same, and this one is not, unless somebody looks what is there."""
_RETRIES: RetryConfig = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3)},
}


@dataclass(frozen=True)
class StoredObject:
    """An object as the storage knows it: its size in bytes and when it was last written, by the storage's clock."""

    key: str
    size: int
    modified: datetime


class Objects:
    """Object storage below one URL, through async calls.

    Every method raises ``TransientError`` when the storage cannot be reached or is full and ``PermanentError`` when
    it refuses us; the message names the URL and key, never a credential.
    """

    def __init__(self, location: Folder | Bucket) -> None:
        self.url = location.url
        self._location = location
        self._folder = location.path if isinstance(location, Folder) else None
        self._store: LocalStore | S3Store = _local(location) if isinstance(location, Folder) else _s3(location)

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Bytes ``start`` to ``start + length`` of an object, fewer where it ends before, all when None.

        Raises:
            NotFound: there is no such object.
        """
        if length == 0:
            return b""
        with self._request("read", key):
            try:
                if length is None and start == 0:
                    return (await (await obstore.get_async(self._store, key)).bytes_async()).to_bytes()
                if length is None:
                    found = await obstore.get_async(self._store, key, options={"range": {"offset": start}})
                    return (await found.bytes_async()).to_bytes()
                return (await obstore.get_range_async(self._store, key, start=start, length=length)).to_bytes()
            except BaseError as error:
                if _beyond_the_end(error):
                    return b""
                raise

    async def size(self, key: str) -> int | None:
        """Size of an object in bytes, or None when there is none."""
        found = await self.look_up(key)
        return found.size if found else None

    async def look_up(self, key: str) -> StoredObject | None:
        """An object without its bytes, or None when there is none. S3 tells its time in whole seconds here."""
        try:
            with self._request("look up", key):
                found = await obstore.head_async(self._store, key)
        except NotFound:
            return None
        return StoredObject(key, found["size"], found["last_modified"])

    async def create(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one; False when there was. Of many callers one gets True.

        Where the connection is cut it is tried again; the same bytes then count as written by this call.
        """
        with self._request("write", key):
            for number in range(_CREATES):
                try:
                    await obstore.put_async(self._store, key, data, mode="create")
                except AlreadyExistsError:
                    return number > 0 and await Objects.read(self, key) == data
                except GenericError as error:
                    if number == _CREATES - 1 or not _was_cut_off(error):
                        raise
                    await asyncio.sleep(0.1 * 3**number)
                else:
                    break
            await self._make_durable(key)
            return True

    async def create_own(self, key: str, data: bytes) -> bool:
        """``create``, where the very same bytes count as this call's own.

        The answer to a write can be lost; the try after it then finds an object, and it is the caller's.
        """
        try:
            return await self.create(key, data) or await self.read(key) == data
        except NotFound:  # deleted in between
            return False

    async def write(self, key: str, chunks: Iterator[bytes] | AsyncIterator[bytes]) -> None:
        """Write an object in parts of constant memory, in place of one that is there.

        It appears whole or not at all: an error raised by ``chunks`` leaves nothing behind and passes through.
        ``chunks`` is consumed outside the event loop's thread, unless it is an async iterator.
        """
        with self._request("write", key):
            await obstore.put_async(
                self._store, key, chunks, use_multipart=True, chunk_size=PART_SIZE, max_concurrency=2
            )
            await self._make_durable(key)

    async def blocks(self, key: str) -> AsyncIterator[bytes]:
        """The bytes of an object in parts of constant memory, as ``write`` takes them.

        Raises:
            NotFound: there is no such object.
        """
        with self._errors("read", key):
            found = await obstore.get_async(self._store, key)
            async for block in found.stream(min_chunk_size=PART_SIZE):
                yield bytes(block)

    async def keys(self, prefix: str, *, after: str | None = None) -> AsyncIterator[str]:
        """Keys below ``prefix`` (a folder), in no particular order; only those sorting behind ``after`` if given."""
        async for found in self.entries(prefix, after=after):
            yield found.key

    async def entries(self, prefix: str, *, after: str | None = None) -> AsyncIterator[StoredObject]:
        """The objects whose keys ``keys`` gives, with their sizes and times; all there are for ``""``."""
        with self._errors("list", prefix):
            async for page in obstore.list(self._store, prefix or None, offset=after, chunk_size=1000):
                for item in page:
                    yield StoredObject(item["path"], item["size"], item["last_modified"])

    async def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below ``prefix``, sorted."""
        with self._request("list", prefix):
            found = await obstore.list_with_delimiter_async(self._store, prefix)
        return sorted(folder.rstrip("/").rpartition("/")[2] for folder in found["common_prefixes"])

    async def move(self, key: str, to: str) -> None:
        """Give an object another key, in place of what is there; one that is gone already is no error.

        It counts as written now: a copy does on S3, and a file that is renamed is made to.
        """
        with suppress(NotFound), self._request("move", key):
            if self._folder is not None:
                with suppress(FileNotFoundError):
                    await asyncio.to_thread(os.utime, self._folder / key)
            await obstore.rename_async(self._store, key, to)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there are no error."""
        for key in keys:
            with suppress(NotFound), self._request("delete", key):
                await obstore.delete_async(self._store, key)

    async def erase(self, keys: Sequence[str]) -> list[str]:
        """Remove objects with every version that a bucket keeps of them; one that is written anew meanwhile stays.

        Returns:
            What the service refused, a sentence for each version; nothing for a local folder.

        Raises:
            PermanentError: the service does not let us list or delete versions; the objects themselves are gone then.
        """
        await self.delete(keys)
        return await self.erase_old_versions(keys)

    async def erase_old_versions(self, keys: Sequence[str]) -> list[str]:
        """Remove what a bucket keeps of objects that were overwritten or deleted; otherwise as ``erase``."""
        if not isinstance(self._location, Bucket) or not keys:
            return []
        from tidemill.artifacts.versions import remove_old_versions  # the SDK is needed for nothing else here

        return await asyncio.to_thread(remove_old_versions, self._location, keys)

    async def unfinished(self) -> list[StoredObject]:
        """What writes that were killed left in a local folder; S3 keeps such parts where a lifecycle rule ends them."""
        return [] if self._folder is None else await asyncio.to_thread(_unfinished, self._folder)

    async def remove_unfinished(self, left: Sequence[StoredObject]) -> None:
        """Remove what ``unfinished`` found."""
        if self._folder is not None:
            await asyncio.to_thread(remove, [self._folder / one.key for one in left])

    async def check(self) -> None:
        """Make sure that create-only writes work here, by writing a probe twice, and that we can read what is there.

        Raises:
            PermanentError: they do not, the storage refuses us, or it is encrypted and there is no master key that
                opens it; says what to do.
            TransientError: the storage cannot be reached.
        """
        await self._check_encryption()
        key = f"artifacts/probes/{uuid4().hex}"
        try:
            first = await self.create_own(key, b"1")
            second = await self.create(key, b"2")
        except (NotFound, TransientError) as error:
            if isinstance(error, NotFound) or "501" in str(error) or "NotImplemented" in str(error):
                raise PermanentError(f"{error}; {_NEEDS}") from error
            raise
        finally:
            with suppress(TidemillError):
                await self.delete([key])
        if not first or second:
            raise PermanentError(
                f"the store at {self.url} overwrote an object in spite of a create-only write; {_NEEDS}"
            )

    async def _check_encryption(self) -> None:
        async for key in self.keys(STORE_KEYS):
            raise PermanentError(
                f"the store at {self.url} is encrypted (it has {key}), and no master key is given; set "
                "TIDEMILL_ENCRYPTION_KEY_FILE"
            )

    async def _make_durable(self, key: str) -> None:
        """A local folder's writes survive a power failure only once synced; S3 answers when they do."""
        if self._folder is not None:
            await asyncio.to_thread(_sync, self._folder / key)

    @contextmanager
    def _request(self, verb: str, key: str) -> Iterator[None]:
        """``_errors`` around one request, whose time is told. What is streamed takes as long as its reader does."""
        began, failed = time.perf_counter(), {}
        try:
            with self._errors(verb, key):
                yield
        except TidemillError as error:
            failed = {measures.ERROR: type(error).__name__}
            raise
        finally:
            measures.STORE_DURATION.record(time.perf_counter() - began, {measures.OPERATION: verb, **failed})

    @contextmanager
    def _errors(self, verb: str, key: str) -> Iterator[None]:
        try:
            yield
        except TidemillError:
            raise
        except FileNotFoundError as error:
            self._refuse_missing_bucket(error)
            raise NotFound(f"there is no {key} in the store at {self.url}") from error
        except (NotSupportedError, InvalidPathError) as error:
            raise PermanentError(f"cannot {verb} {key} in the store at {self.url}: {one_line(error)}") from error
        except (BaseError, OSError) as error:
            self._refuse_missing_bucket(error)  # a listing has one type of error for everything
            doing = f"{verb} {key} in the store at {self.url}"
            raise refusal(error, doing, on_s3=self._folder is None) or TransientError(
                f"cannot {doing}: {one_line(error)}"
            ) from error

    def _refuse_missing_bucket(self, error: Exception) -> None:
        if "NoSuchBucket" in str(error):
            raise PermanentError(
                f"there is no bucket at {self.url}; create it first (`tidemill store prepare`), or correct the URL"
            ) from error


def open_objects(url: str) -> Objects:
    """The object storage at ``url``: a local folder (made when absent), ``file://`` or ``s3://bucket/prefix``.

    S3's endpoint, region and credentials come from the ``AWS_…`` environment variables, or from what ``artifacts.s3``
    names; an ``AWS_ENDPOINT_URL`` that begins with ``http://`` is used without TLS.

    Where the environment names a master key (``artifacts.encryption.master``) everything in it is encrypted.

    Raises:
        InvalidInput: the URL is none of these, or a file or key that the environment names cannot be used.
        PermanentError: the folder cannot be made.
    """
    location = parse_location(url)
    if any(name.startswith("TIDEMILL_ENCRYPTION_KEY") for name in os.environ):
        from tidemill.artifacts.encryption.master import master_key
        from tidemill.artifacts.encryption.objects import EncryptedObjects

        master = master_key()
        if master is not None:
            return EncryptedObjects(location, master)
    return Objects(location)


async def open_source(url: str) -> Objects:
    """The object storage at ``url`` for reading alone: one that was written without a master key is read without it.

    Raises:
        InvalidInput, PermanentError, TransientError: as ``open_objects``, and when it cannot be listed.
    """
    plain = Objects(parse_location(url))
    async for _ in plain.keys(STORE_KEYS):
        return open_objects(url)
    return plain


_NEEDS = (
    "Tidemill commits results by conditional writes (If-None-Match), so use a local folder on a file system with hard "
    "links, AWS S3, or a current MinIO or other S3 service that honours them, with the bucket created before"
)


def _local(location: Folder) -> LocalStore:
    try:
        location.path.mkdir(parents=True, exist_ok=True)
        return LocalStore(location.path)
    except OSError as error:
        raise PermanentError(f"cannot use {location.path} as a store: {error.strerror or error}") from error


def _s3(location: Bucket) -> S3Store:
    options: ClientConfig = {
        "allow_http": urlsplit(s3_endpoint()).scheme == "http",
        "connect_timeout": _CONNECT_TIMEOUT,
        "timeout": _REQUEST_TIMEOUT,
    }
    trusted = authority()
    if trusted is not None:
        options["root_certificate"] = trusted
    try:
        return S3Store(
            location.name,
            prefix=location.prefix or None,
            conditional_put="etag",
            client_options=options,
            retry_config=_RETRIES,
            credential_provider=credentials_file(),
        )
    except BaseError as error:
        raise PermanentError(f"cannot use {location.url} as a store: {one_line(error)}") from error


def _sync(path: os.PathLike[str]) -> None:
    for each in (path, os.path.dirname(path)):  # noqa: PTH120 -- the directory holds the name
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unfinished(folder: Path) -> list[StoredObject]:
    """Files that the local store stages its writes in: ``<name>#<number>``. It does not list them itself."""
    found = []
    for path in folder.rglob("*#*"):
        with suppress(OSError):
            facts = path.stat()
            if path.name.rpartition("#")[2].isdigit() and S_ISREG(facts.st_mode):
                modified = datetime.fromtimestamp(facts.st_mtime, UTC)
                found.append(StoredObject(path.relative_to(folder).as_posix(), facts.st_size, modified))
    return found


def _was_cut_off(error: GenericError) -> bool:
    """Whether a request got no answer, and was not tried again by ``obstore``."""
    return "error sending request" in str(error) and " retries, " not in str(error)


def _beyond_the_end(error: BaseError) -> bool:
    text = str(error)
    return "416 Range Not Satisfiable" in text or "Requested range was invalid" in text

"""What an object store tells of a new object, and which dataset of which project that is. Plain functions.

    inbox/<project>/<dataset>/<file>        an object that is to become a version of the dataset
    inbox/<project>/<dataset>/recipe.yaml   how: read when a file beside it arrives

A message is that of MinIO's NATS target, ``{"EventName", "Key", "Records": [...]}``, whose records are those of AWS S3
("Event message structure", version 2): the key is encoded as in a form, with ``+`` for a space and ``%2F`` for ``/``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from tidemill.contracts.references import valid_name
from tidemill.errors import InvalidInput, PermanentError
from tidemill.file_names import FileNames, is_hidden
from tidemill.inbox import CREATED, INBOX, RECIPE

_SHOWN = 200


class UnusableNotification(PermanentError):
    """Nobody can tell what the notification means, or it names what may not be; says what to do."""


class Ignored(Exception):
    """The notification is of nothing that starts a run; says why."""


@dataclass(frozen=True)
class Notified:
    """What happened to an object."""

    event: str
    """With its prefix: ``s3:ObjectCreated:Put``."""
    bucket: str
    key: str
    version: str
    """Empty in a bucket without versions."""
    etag: str
    sequencer: str
    """Grows with every write of the key; the same in a repeated notification of one write."""

    @property
    def run_id(self) -> str:
        """Of the run that the object starts: the same however often it is told, another for every write of the key."""
        which = self.version or f"{self.etag} {self.sequencer}"
        seed = "\n".join((self.bucket, self.key, which))
        return f"run-{hashlib.sha256(seed.encode()).hexdigest()[:16]}"

    @property
    def uri(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Place:
    """Where in the inbox an object is."""

    project: str
    dataset: str

    @property
    def recipe_key(self) -> str:
        """Key of the recipe that counts there."""
        return f"{INBOX}/{self.project}/{self.dataset}/{RECIPE}"


def parse_notification(body: bytes) -> list[Notified]:
    """The records of a message.

    Raises:
        UnusableNotification: it is none; names the field.
        Ignored: it is the message by which a store tries its configuration out.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnusableNotification(f"a bucket notification is not JSON ({error})") from None
    if isinstance(document, dict) and document.get("Event") == "s3:TestEvent":
        raise Ignored("a store tries its notifications out")
    records = document.get("Records") if isinstance(document, dict) else None
    if not isinstance(records, list) or not records:
        raise UnusableNotification("a bucket notification has no Records; is it one of S3 or of MinIO's NATS target?")
    return [_record(record, number) for number, record in enumerate(records)]


def place_of(notified: Notified) -> Place:
    """The dataset that a new object belongs to.

    Raises:
        Ignored: the object is none that starts a run.
        UnusableNotification: it is in the inbox under a name that cannot be used.
    """
    if notified.event not in CREATED:
        raise Ignored(f"{notified.event} brings no data")
    shown = notified.key if len(notified.key) <= _SHOWN else f"{notified.key[:_SHOWN]}…"
    parts = notified.key.split("/")
    if parts[0] != INBOX:
        raise Ignored(f"{shown!r} is not below {INBOX}/")
    if parts[-1] == "":
        raise Ignored(f"{shown!r} marks a folder")
    _check_name(notified.key, shown)
    if len(parts) < 4:
        raise Ignored(f"{shown!r} is in no dataset's folder; put it below {INBOX}/<project>/<dataset>/")
    if is_hidden("/".join(parts[3:])):
        raise Ignored(f"{shown!r} is hidden")
    if parts[3:] == [RECIPE]:
        raise Ignored(f"{shown!r} is the recipe of the files that come after it")
    if len(parts) > 4:
        raise Ignored(f"{shown!r} is in a folder of its own; pack a dataset of several files into one archive")
    try:
        return Place(project=valid_name(parts[1]), dataset=valid_name(parts[2]))
    except ValueError as error:
        raise UnusableNotification(f"{shown!r} names no project and dataset: {error}; rename the folder") from None


def _check_name(key: str, shown: str) -> None:
    parts = key.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        raise UnusableNotification(f"the key {shown!r} has an empty part, '.' or '..'; give the object a plain name")
    if "?" in key or "#" in key:
        raise UnusableNotification(f"the key {shown!r} holds '?' or '#', which no address can; rename the object")
    try:
        FileNames("the inbox").checked(key)
    except InvalidInput as error:
        raise UnusableNotification(str(error)) from None


def _record(record: Any, number: int) -> Notified:
    where = f"Records[{number}]"
    s3 = _object(record, "s3", where)
    bucket = _text(_object(s3, "bucket", f"{where}.s3"), "name", f"{where}.s3.bucket")
    stored = _object(s3, "object", f"{where}.s3")
    event = _text(record, "eventName", where)
    version = stored.get("versionId")
    return Notified(
        event=event if event.startswith("s3:") else f"s3:{event}",
        bucket=bucket,
        key=_decoded(_text(stored, "key", f"{where}.s3.object")),
        version=version if isinstance(version, str) and version != "null" else "",
        etag=str(stored.get("eTag") or ""),
        sequencer=str(stored.get("sequencer") or ""),
    )


def _object(document: Any, name: str, where: str) -> dict[str, Any]:
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, dict):
        raise UnusableNotification(f"a bucket notification has no object {where}.{name}")
    return value


def _text(document: Any, name: str, where: str) -> str:
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, str) or not value:
        raise UnusableNotification(f"a bucket notification has no text {where}.{name}")
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold
        raise UnusableNotification(f"{where}.{name} of a bucket notification is not valid Unicode text") from None
    return value


def _decoded(key: str) -> str:
    try:
        return unquote_to_bytes(key.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise UnusableNotification(f"the key {quote(key)[:_SHOWN]!r} is not UTF-8; rename the object") from None

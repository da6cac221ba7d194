"""What a published ``uri`` may read. Knows nothing of how it is read."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tidemill.artifacts.location import Bucket, parse_location
from tidemill.errors import InvalidInput

Origin = Literal["bus", "http"]
"""Who asked: somebody with access to the bus, or anybody who can reach the gateway."""


@dataclass(frozen=True)
class SourcePolicy:
    """The limits of a source. Paths, addresses, buckets and databases are limited for the origin ``http`` alone."""

    allowed_folders: tuple[Path, ...] = ()
    """Folders that a ``uri`` that came in over HTTP may name; none by default."""
    allow_private_networks: bool = False
    """Whether such a ``uri`` may name a private, loopback or link-local network address."""
    allowed_buckets: tuple[str, ...] = ()
    """Buckets that such a ``uri`` may name; none by default, since the platform's own credentials read them."""
    own_store: str = ""
    """URL of the platform's own store, which such a ``uri`` may never name; empty: there is none."""
    hub_url: str = "https://huggingface.co"
    """The Hugging Face hub that ``hf://`` names."""
    allowed_hub_owners: tuple[str, ...] = ()
    """Owners whose datasets such a ``uri`` may name with the platform's own token; others it reads without one."""
    allowed_databases: tuple[str, ...] = ()
    """Databases that such a ``uri`` may name, as ``host``, ``host:port``, ``host/name`` or ``host:port/name``."""
    min_rate: int = 16 * 1024
    """Bytes per second that a download from a web server has to reach on average, whoever asks."""
    patience: float = 60.0
    """Seconds that such a download may last however little comes."""
    max_bytes: int = 10 * 1024**3
    """Largest dataset, in bytes, whoever asks."""
    max_files: int = 200_000
    """Most files of a dataset, whoever asks."""

    def public_only(self, origin: Origin) -> bool:
        """Whether network addresses have to be public ones."""
        return origin == "http" and not self.allow_private_networks

    def check_path(self, path: Path, origin: Origin) -> Path:
        """The real path behind ``path``, links followed, when ``origin`` may read it.

        Raises:
            InvalidInput: it may not. The message is the same whether the file exists or not.
        """
        real = _real(path)
        if origin == "http" and not (
            real and any(real.is_relative_to(folder.resolve()) for folder in self.allowed_folders)
        ):
            raise InvalidInput(
                f"{path} is not in a folder that may be read by a request over HTTP; upload the file instead, or ask "
                f"the operator to add its folder to TIDEMILL_INGEST_ALLOWED_FOLDERS{self._named_folders()}"
            )
        if real is None:
            raise InvalidInput(f"{path} leads through symbolic links in a circle; name the file itself")
        return real

    def check_object(self, bucket: str, key: str, origin: Origin) -> None:
        """Raise InvalidInput unless ``origin`` may read ``key``, an object or a prefix, of ``bucket``.

        ``key`` has neither a slash at its ends nor empty, ``.`` or ``..`` parts.
        """
        if origin != "http":
            return
        own = parse_location(self.own_store) if self.own_store else None
        if isinstance(own, Bucket) and own.name == bucket and f"{key}/".startswith(f"{own.prefix}/".lstrip("/")):
            raise InvalidInput(
                f"s3://{bucket}/{key} is in the platform's own store, which a request over HTTP may not read; upload "
                "the file instead"
            )
        self._check_bucket(bucket)

    def check_prefix(self, bucket: str, prefix: str, origin: Origin) -> None:
        """Raise InvalidInput unless ``origin`` may read all that is below ``prefix`` of ``bucket``."""
        self.check_object(bucket, prefix, origin)
        own = parse_location(self.own_store) if self.own_store else None
        below = f"{prefix}/".lstrip("/")
        if origin == "http" and isinstance(own, Bucket) and own.name == bucket and own.prefix.startswith(below):
            raise InvalidInput(
                f"the platform's own store is below s3://{bucket}/{prefix}, which a request over HTTP may not read; "
                "name a folder beside it, or upload the files instead"
            )

    def _check_bucket(self, bucket: str) -> None:
        if bucket not in self.allowed_buckets:
            raise InvalidInput(
                f"bucket {bucket!r} may not be read by a request over HTTP; upload the file instead, or ask the "
                "operator to add it to TIDEMILL_INGEST_ALLOWED_BUCKETS"
            )

    def check_database(self, host: str, port: int, name: str, origin: Origin) -> None:
        """Raise InvalidInput unless ``origin`` may query the database ``name`` of the server at ``host``."""
        if origin != "http":
            return
        written = (host, f"{host}:{port}", f"{host}/{name}", f"{host}:{port}/{name}")
        if not host or not {entry.casefold() for entry in self.allowed_databases} & {way.casefold() for way in written}:
            raise InvalidInput(
                f"the database {name!r} at {host or 'no named host'} may not be read by a request over HTTP; ask the "
                "operator to add it to TIDEMILL_INGEST_ALLOWED_DATABASES, or upload the rows instead"
            )

    def check_size(self, size: int, what: str) -> None:
        """Raise InvalidInput when ``size`` bytes are more than may be taken in."""
        if size > self.max_bytes:
            raise InvalidInput(
                f"{what} is larger than {self.max_bytes:,} bytes, the limit of TIDEMILL_INGEST_MAX_BYTES; "
                "publish fewer rows or raise the limit"
            )

    def check_files(self, number: int, what: str) -> None:
        """Raise InvalidInput when ``number`` files are more than may be taken in."""
        if number > self.max_files:
            raise InvalidInput(
                f"{what} has more than {self.max_files:,} files, the limit of TIDEMILL_INGEST_MAX_FILES; "
                "pack them into archives, or raise the limit"
            )

    def _named_folders(self) -> str:
        return f" (now: {_joined(self.allowed_folders)})" if self.allowed_folders else ""


def _real(path: Path) -> Path | None:
    """``path`` with its links followed, as far as it exists; None when they lead in a circle."""
    try:
        return path.resolve(strict=True)
    except RuntimeError:  # A circle, before Python 3.13.
        return None
    except OSError as error:
        # Of a circle, a resolve that is not strict leaves the rest of the path as it is, with its links.
        return None if error.errno == errno.ELOOP else path.resolve()


def _joined(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)

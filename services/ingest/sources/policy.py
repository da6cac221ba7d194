"""What a published ``uri`` may read. Knows nothing of how it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tidemill.errors import InvalidInput

Origin = Literal["bus", "http"]
"""Who asked: somebody with access to the bus, or anybody who can reach the gateway."""


@dataclass(frozen=True)
class SourcePolicy:
    """The limits of a source. Paths, addresses and buckets are limited for the origin ``http`` alone."""

    allowed_folders: tuple[Path, ...] = ()
    """Folders that a ``uri`` that came in over HTTP may name; none by default."""
    allow_private_networks: bool = False
    """Whether such a ``uri`` may name a private, loopback or link-local network address."""
    allowed_buckets: tuple[str, ...] | None = None
    """Buckets that such a ``uri`` may name, since they are read with the platform's credentials; None: any."""
    max_bytes: int = 10 * 1024**3
    """Largest dataset, in bytes, whoever asks."""

    def public_only(self, origin: Origin) -> bool:
        """Whether network addresses have to be public ones."""
        return origin == "http" and not self.allow_private_networks

    def check_path(self, path: Path, origin: Origin) -> Path:
        """The real path behind ``path``, links followed, when ``origin`` may read it.

        Raises:
            InvalidInput: it may not. The message is the same whether the file exists or not.
        """
        real = path.resolve()
        if origin == "http" and not any(real.is_relative_to(folder.resolve()) for folder in self.allowed_folders):
            raise InvalidInput(
                f"{path} is not in a folder that may be read by a request over HTTP; upload the file instead, or ask "
                f"the operator to add its folder to TIDEMILL_INGEST_ALLOWED_FOLDERS{self._named_folders()}"
            )
        return real

    def check_bucket(self, bucket: str, origin: Origin) -> None:
        """Raise InvalidInput unless ``origin`` may read ``bucket``."""
        if origin == "http" and self.allowed_buckets is not None and bucket not in self.allowed_buckets:
            raise InvalidInput(
                f"bucket {bucket!r} may not be read by a request over HTTP; upload the file instead, or ask the "
                "operator to add it to TIDEMILL_INGEST_ALLOWED_BUCKETS"
            )

    def check_size(self, size: int, what: str) -> None:
        """Raise InvalidInput when ``size`` bytes are more than may be taken in."""
        if size > self.max_bytes:
            raise InvalidInput(
                f"{what} is larger than {self.max_bytes:,} bytes, the limit of TIDEMILL_INGEST_MAX_BYTES; "
                "publish fewer rows or raise the limit"
            )

    def _named_folders(self) -> str:
        return f" (now: {_joined(self.allowed_folders)})" if self.allowed_folders else ""


def _joined(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)

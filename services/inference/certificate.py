"""The gateway's own certificate: loaded when it starts, and again when its files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from tidemill.errors import InvalidInput

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_Seen = tuple[tuple[int, int, int], ...]


class Certificate:
    """A certificate chain and its key, in PEM files. A renewed one serves the next connections."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Load it.

        Raises:
            InvalidInput: a file cannot be read, or they do not belong together; names them.
        """
        self._chain = chain
        self._key = key
        self._seen = self._state()
        self.context = self._loaded()
        """TLS 1.2 and later."""

    async def watch(self) -> None:
        """Look at the files until cancelled. One that cannot be used leaves the one before it in place."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self.renew()
            except InvalidInput as error:
                log.error("%s; the certificate before it stays in use", error)

    def renew(self) -> bool:
        """Load the files if they changed; whether they did.

        Raises:
            InvalidInput: they cannot be used. They are tried again when they change.
        """
        state = self._state()
        if state == self._seen:
            return False
        self._seen = state
        self._loaded()  # in a context of its own first: a key that does not fit would break the one in use
        self.context.load_cert_chain(self._chain, self._key)
        log.info("certificate %s was renewed", self._chain)
        return True

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._chain, self._key, password=_no_password)
        except (OSError, ValueError) as error:  # of which an SSLError is one
            reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
            raise InvalidInput(
                f"certificate {self._chain} with key {self._key} cannot be used: {reason}; give a chain and its key "
                "without a password, in PEM (TIDEMILL_INFERENCE_TLS_CERT, _TLS_KEY)"
            ) from None
        return context

    def _state(self) -> _Seen:
        """What changes when somebody replaces a file, in place or by a link."""
        found = []
        for file in (self._chain, self._key):
            try:
                status = file.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)


def _no_password() -> str:
    """OpenSSL would ask a terminal otherwise."""
    raise ValueError("the key is encrypted")

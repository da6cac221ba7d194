"""nats-py's client, with two things added: what the server does not permit is an error of who asked, in words, and at
once; and a server that cannot be trusted is not tried for ever.

The server says asynchronously that it does not permit something, and nats-py only reports it: a request waits for its
timeout, and then looks like an outage.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import nats.errors
from faststream.nats import NatsBroker
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from tidemill.bus.nkeys import public_key, read_seed
from tidemill.errors import PermanentError

log = logging.getLogger(__name__)

SAID_EVERY = 60.0
"""Seconds after which the same trouble with a connection is logged again."""
_VIOLATION = re.compile(r"permissions violation for (publish|subscription) to \"(.*?)\"")
"""As nats-py hands it on: in small letters."""


class NotPermitted(nats.errors.Error):
    """The server does not let this user publish on, or subscribe to, a subject."""

    def __init__(self, user: str, what: str, subject: str) -> None:
        self.subject = subject
        verb = {"publish": "publish on", "subscription": "subscribe to"}[what]
        super().__init__(
            f"the NATS server does not let {user} {verb} {subject}: its permissions are another user's, or older than "
            "this version; `tidemill nats accounts` writes those that belong to it"
        )

    def __str__(self) -> str:
        return str(self.args[0])


class TlsMismatch(nats.errors.Error):
    """Server and client do not trust each other: no TLS, a certificate that does not convince, or none."""

    def __str__(self) -> str:
        return str(self.args[0])


class Client(NatsClient):
    """A client that is called ``name``; ``certified`` when it has a certificate of its own."""

    def __init__(self, name: str, *, certified: bool = False) -> None:
        super().__init__()
        self._called = name
        self._certified = certified
        self._met = False
        self._said = ""
        self._said_at = 0.0
        self._asking: defaultdict[str, set[asyncio.Timeout]] = defaultdict(set)

    async def connect(self, *servers: Any, **options: Any) -> None:
        """As nats-py's.

        Raises:
            TlsMismatch: the server offers no TLS where a CA is set, a certificate that does not convince, or asks for
                one where there is none; nats-py would try again for ever.
        """
        told = options.get("error_cb")

        async def noticed(error: Exception) -> None:
            if (mismatch := tls_mismatch(error)) is not None:
                self._say(str(mismatch))
                if not self._met:  # a server that was there before may get its certificate back
                    raise mismatch
            violation = _VIOLATION.search(str(error))
            if violation is not None:
                self._refused(violation[1], violation[2])
            elif self._met and "authorization violation" in str(error).lower():
                # FastStream gives up here, in the midst of reconnecting. A seed that was rotated is in its file soon.
                self._say(f"the NATS server does not accept the credentials of {self._called} any more; trying again")
            elif told is not None:
                await told(error)

        await super().connect(*servers, **{**options, "error_cb": noticed})
        self._met = True

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """As nats-py's.

        Raises:
            NotPermitted: this user may not publish on ``subject``.
        """
        key = subject.lower()
        try:
            async with asyncio.timeout(None) as asked:
                self._asking[key].add(asked)
                return await super().request(subject, payload, timeout, old_style, headers)
        except TimeoutError:
            if asked.expired():
                raise NotPermitted(self._called, "publish", subject) from None
            raise
        finally:
            self._asking[key].discard(asked)
            if not self._asking[key]:
                del self._asking[key]

    def _connect_command(self) -> bytes:
        """Say who we are, unless the server was to prove itself by TLS and has not begun it."""
        if self.options.get("tls") is not None and not self._server_info.get("tls_required"):
            raise TlsMismatch(
                f"the NATS server at {self._where()} offers no TLS, and TIDEMILL_NATS_CA asks for it: give the server "
                "a certificate, or unset TIDEMILL_NATS_CA"
            )
        if self._server_info.get("tls_verify") and not self._certified:
            raise TlsMismatch(
                f"the NATS server at {self._where()} asks for a client's certificate: set TIDEMILL_NATS_CERT and "
                "TIDEMILL_NATS_KEY to one that its CA has signed"
            )
        if self._nkeys_seed is not None:  # signatures are by what is in the file now, so it says whose
            path = Path(self._nkeys_seed)
            try:
                self._public_nkey = public_key(read_seed(path), path)
            except PermanentError as error:  # as the client's own, so that it goes on trying to reconnect
                self._say(str(error))
                raise nats.errors.Error(str(error)) from error
        command: bytes = super()._connect_command()
        return command

    def _where(self) -> str:
        server = self._current_server
        return f"{server.uri.hostname}:{server.uri.port}" if server is not None else "its address"

    def _refused(self, what: str, subject: str) -> None:
        log.error("%s", NotPermitted(self._called, what, subject))
        if what == "publish":
            for asked in self._asking.get(subject, set()):
                if not asked.expired():
                    asked.reschedule(asyncio.get_running_loop().time())

    def _say(self, words: str) -> None:
        """Log what is wrong with the connection: it is tried every second, and said once a minute."""
        now = time.monotonic()
        if words != self._said or now - self._said_at > SAID_EVERY:
            self._said, self._said_at = words, now
            log.error("%s", words)


class Broker(NatsBroker):
    """FastStream's broker over a client of ours."""

    certified = False
    """Whether it has a certificate of its own."""

    async def _connect(self) -> Client:
        client = Client(str(self._connection_kwargs.get("name")), certified=self.certified)
        await client.connect(**self._connection_kwargs)
        self.config.connect(client)
        return client


def tls_mismatch(error: BaseException) -> TlsMismatch | None:
    """What ``error`` says about certificates, in words; None when it says nothing of them."""
    if isinstance(error, TlsMismatch):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsMismatch(
            f"the NATS server's certificate is refused: {error.verify_message or error}; TIDEMILL_NATS_CA has to hold "
            "the CA that signed it, and TIDEMILL_NATS_URL a name that is in it"
        )
    return None

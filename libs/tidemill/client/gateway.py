"""HTTP to the gateway: requests, uploads, event streams; its problem documents become Tidemill's errors.

Knows addresses, status codes and retries; not what the answers mean.
"""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tidemill.client.address import Address, is_loopback
from tidemill.client.multipart import MultipartBody, Sent
from tidemill.client.sse import ServerSentEvent, parse
from tidemill.errors import InvalidInput, NotFound, TidemillError, TransientError

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
UPLOAD_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
STARTING_PATIENCE = 15.0
"""Seconds that a request waits for a gateway that a local supervisor is bringing back."""
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0


class NotReachable(TransientError):
    """Nothing answers at the gateway's address."""


class Untrusted(InvalidInput):
    """Somebody answers at the gateway's address whose certificate is not vouched for."""


class Unavailable(TransientError):
    """The gateway cannot do it now. ``document`` is its problem document."""

    def __init__(self, detail: str, document: Mapping[str, Any]) -> None:
        super().__init__(detail)
        self.document = document


class Gateway:
    """One gateway. ``patience`` is how many seconds a call may wait for one that is away.

    ``ca`` is a file with the certificates of the authorities that may vouch for it, instead of the usual ones.
    """

    def __init__(
        self,
        address: Address,
        *,
        api_key: str | None = None,
        project: str | None = None,
        ca: Path | str | None = None,
    ) -> None:
        self._address = address
        self._headers: list[tuple[bytes, bytes]] = []
        if api_key:
            self._headers.append((b"Authorization", f"Bearer {api_key}".encode()))
        if project:
            self._headers.append((b"Tidemill-Project", quote(project).encode()))
        self._ca = ca
        self._client: httpx.Client | None = None

    @property
    def url(self) -> str:
        """Its address now."""
        return self._address.current()

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def get(self, path: str, *, params: Mapping[str, Any] | None = None, patience: float | None = None) -> Any:
        """The JSON answer to a GET.

        Raises:
            NotReachable: nothing answers.
            NotFound, InvalidInput, TransientError, TidemillError: what the gateway's problem document says.
        """
        return self._patiently(lambda client, url: client.get(url + path, params=params), patience, repeat=True)

    def text(self, path: str, *, params: Mapping[str, Any] | None = None, patience: float | None = None) -> str:
        """The answer to a GET that is no JSON; raises as ``get`` does."""

        def send(client: httpx.Client, url: str) -> httpx.Response:
            return client.get(url + path, params=params)

        return str(self._patiently(send, patience, repeat=True, read=lambda response, _: response.text))

    def post(self, path: str, document: Any = None, *, patience: float | None = None) -> Any:
        """The JSON answer to a POST of ``document``; sent again only when it certainly did not arrive."""
        return self._patiently(lambda client, url: client.post(url + path, json=document), patience, repeat=False)

    def delete(self, path: str, *, patience: float | None = None) -> Any:
        """The JSON answer to a DELETE; sent again only when it certainly did not arrive."""
        return self._patiently(lambda client, url: client.delete(url + path), patience, repeat=False)

    def upload(
        self, path: str, fields: Mapping[str, str], files: Sequence[tuple[str, Path]], *, sent: Sent | None = None
    ) -> Any:
        """The JSON answer to a multipart POST; the files are streamed, never held in memory.

        Raises:
            InvalidInput: a file cannot be read.
        """
        body = MultipartBody(fields, files, sent)

        def send(client: httpx.Client, url: str) -> httpx.Response:
            return client.post(url + path, content=body, headers=body.headers, timeout=UPLOAD_TIMEOUT)

        return self._patiently(send, None, repeat=False)

    def download(self, path: str, target: Path) -> None:
        """Write the answer to a GET into the file ``target``, streamed; its folder is made.

        Raises:
            NotReachable: nothing answers, or the answer broke off.
            InvalidInput: the file cannot be written.
        """
        url = self.url
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _as_ours(url), self._connected(url).stream("GET", url + path) as response, target.open("wb") as file:
                if response.is_error:
                    response.read()
                _refuse(response)
                for chunk in response.iter_bytes(1 << 20):
                    file.write(chunk)
        except OSError as error:
            raise InvalidInput(f"{error.filename or target} cannot be written: {error.strerror}") from None

    @contextmanager
    def events(self, path: str, *, silence: float) -> Iterator[Iterator[ServerSentEvent]]:
        """A stream of server-sent events; a read that takes longer than ``silence`` seconds ends it.

        Raises:
            NotReachable: nothing answers, or the stream broke off.
        """
        timeout = httpx.Timeout(silence, connect=5.0)
        url = self.url
        with _as_ours(url), self._connected(url).stream("GET", url + path, timeout=timeout) as response:
            if response.is_error:
                response.read()
            _refuse(response)
            yield parse(response.iter_bytes())

    def _patiently(self, send: Any, patience: float | None, *, repeat: bool, read: Any = None) -> Any:
        """``repeat`` says whether a request that may have arrived can be sent again; ``read`` reads the answer."""
        deadline: float | None = None
        delay = _FIRST_DELAY
        while True:
            url = self.url
            try:
                with _as_ours(url):
                    response = send(self._connected(url), url)
                _refuse(response)
                return (read or _json)(response, url)
            except TransientError as error:
                certain = _certainly_not_done(error)
                now = time.monotonic()
                if deadline is None:
                    allowed = patience if patience is not None else self._usual_patience()
                    deadline = now + allowed
                if not (repeat or certain) or now + delay > deadline:
                    raise
            time.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    def _usual_patience(self) -> float:
        return STARTING_PATIENCE if self._address.coming_up else 0.0

    def _connected(self, url: str) -> httpx.Client:
        if self._client is None:
            # A proxy of the environment cannot reach this machine's loopback addresses.
            self._client = httpx.Client(
                timeout=TIMEOUT, headers=self._headers, trust_env=not is_loopback(url), verify=self._trusted()
            )
        return self._client

    def _trusted(self) -> ssl.SSLContext | bool:
        if self._ca is None:
            return True
        try:
            return ssl.create_default_context(cafile=os.fspath(self._ca))
        except OSError as error:  # of which an SSLError is one
            raise InvalidInput(
                f"TIDEMILL_CA: {self._ca} cannot be used: {error.strerror or error}; name a file of certificates in PEM"
            ) from None


@contextmanager
def _as_ours(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx.TransportError, httpx.StreamError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise Untrusted(
                f"{url} cannot be trusted: {str(error).partition('CERTIFICATE_VERIFY_FAILED] ')[2] or error}; name the "
                "file with its authority's certificate by TIDEMILL_CA, and the gateway as its certificate does"
            ) from error
        raise NotReachable(
            f"the platform at {url} is not reachable; start it with `tidemill up`, "
            "or name another with --url or --data-dir"
        ) from error
    except httpx.InvalidURL as error:
        raise InvalidInput(f"{url!r} is not an address: {error}") from None


def _refuse(response: httpx.Response) -> None:
    if not response.is_error:
        return
    document = _problem(response)
    detail = str(
        document.get("detail")
        or document.get("title")
        or f"{response.url} answered {response.status_code} {response.reason_phrase}"
    )
    if response.status_code == 404:
        raise NotFound(detail)
    if response.status_code in (429, 502, 503, 504):
        raise Unavailable(detail, document)
    if response.is_client_error:
        raise InvalidInput(detail)
    raise TidemillError(detail)


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    try:
        document = json.loads(response.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _certainly_not_done(error: TransientError) -> bool:
    """Whether a request that failed with ``error`` left nothing behind, so that it may be sent again."""
    if isinstance(error, Unavailable):
        return "run_id" not in error.document
    return isinstance(error, NotReachable) and isinstance(error.__cause__, httpx.ConnectError)


def _json(response: httpx.Response, url: str) -> Any:
    if not response.content:
        return None
    try:
        return json.loads(response.content)
    except ValueError:
        raise TidemillError(f"{url} does not answer as a Tidemill gateway does; is another program there?") from None

"""Downloads a file over HTTP. Connects to addresses it has checked itself, at every redirect."""

from __future__ import annotations

import functools
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import httpx

from services.ingest.sources.addresses import resolve
from services.ingest.sources.pace import Pace
from services.ingest.sources.policy import Origin, SourcePolicy
from services.ingest.sources.transfer import Transfer
from tidemill.errors import InvalidInput, TransientError

_MAX_REDIRECTS = 5
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_ONE_REQUEST_EACH = httpx.Limits(max_keepalive_connections=0)
"""A connection for each request, so that the pace is kept of the one in use."""
_MAY_PASS = frozenset((408, 425, 429))
_UNSAFE_IN_NAMES = re.compile(r"[^\w.\-]+")


@dataclass(frozen=True)
class Trusted:
    """A server that the operator named: reached at whatever address, with ``headers`` that no other one gets."""

    url: str
    headers: Mapping[str, str]

    def covers(self, target: httpx.URL) -> bool:
        """Whether ``target`` is on this server."""
        own = httpx.URL(self.url)
        return (own.scheme, own.host, own.port) == (target.scheme, target.host, target.port)


def download(url: str, into: Path, transfer: Transfer, *, policy: SourcePolicy, origin: Origin) -> None:
    """Download ``url`` into the directory ``into``, streamed, under the name that the server or the address gives it.

    Raises:
        InvalidInput, TransientError: as ``fetch``.
    """

    def save(response: httpx.Response, target: httpx.URL) -> None:
        length = response.headers.get("content-length", "")
        encoded = "content-encoding" in response.headers
        transfer.expect(int(length) if length.isdigit() and not encoded else None)
        transfer.write(into / _file_name(target, response), response.iter_bytes(1 << 20))

    fetch(url, save, policy=policy, origin=origin)


def fetch(
    url: str,
    save: Callable[[httpx.Response, httpx.URL], None],
    *,
    policy: SourcePolicy,
    origin: Origin,
    trusted: Trusted | None = None,
) -> None:
    """Call ``save`` with the answer to a GET of ``url``, redirects followed, its body not read yet, and its address.

    Where ``policy`` wants public addresses, hosts that have another one are refused. The connection then goes to an
    address that was checked, with the host's own name in TLS and the Host header, and through no proxy, so that
    neither a redirect nor a second DNS answer leads elsewhere.

    Raises:
        InvalidInput: a wrong address, one that the policy refuses, the server says that it is not to be had, or it is
            slower than the policy's least rate.
        TransientError: the network or the server fails in a way that may pass.
    """
    target = _parsed(url)
    with ExitStack() as opened, Pace(policy.min_rate, policy.patience) as pace:
        for _ in range(_MAX_REDIRECTS + 1):
            known = trusted is not None and trusted.covers(target)
            checked = policy.public_only(origin) and not known
            headers = {"Accept-Encoding": "identity", **(trusted.headers if trusted and known else {})}
            client = opened.enter_context(_client(checked))
            try:
                with _get(client, target, headers, checked, pace) as response:
                    if not response.has_redirect_location:
                        pace.watch(response)
                        _check_status(response, target)
                        save(response, target)
                        # A body without a length ends like one that was cut.
                        pace.check(_shown(target))
                        return
                    target = _parsed(response.headers["location"], relative_to=target)
            except httpx.RequestError as error:
                pace.check(_shown(target))
                raise _explained(error, target) from error
    raise InvalidInput(f"{_shown(target)} redirects more than {_MAX_REDIRECTS} times; give the final address")


def _client(checked: bool) -> httpx.Client:
    return httpx.Client(
        timeout=_TIMEOUT,
        limits=_ONE_REQUEST_EACH,
        follow_redirects=False,
        trust_env=not checked,
        verify=_certificates(),
    )


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes longer than a small file."""
    return httpx.create_ssl_context()


@contextmanager
def _get(
    client: httpx.Client, target: httpx.URL, headers: Mapping[str, str], checked: bool, pace: Pace
) -> Iterator[httpx.Response]:
    if not checked:
        with client.stream("GET", target, headers=headers, extensions={"trace": pace.trace}) as response:
            yield response
        return
    host = target.raw_host.decode("ascii")
    port = target.port or (443 if target.scheme == "https" else 80)
    response = _first_that_connects(
        client,
        [
            client.build_request(
                "GET",
                target.copy_with(host=address),
                headers={**headers, "Host": target.netloc.decode("ascii")},
                extensions={"sni_hostname": host, "trace": pace.trace},
            )
            for address in resolve(host, port, public_only=True)
        ],
    )
    try:
        yield response
    finally:
        response.close()


def _first_that_connects(client: httpx.Client, requests: list[httpx.Request]) -> httpx.Response:
    for request in requests[:-1]:
        try:
            return client.send(request, stream=True)
        except httpx.ConnectError:
            continue
    return client.send(requests[-1], stream=True)


def _check_status(response: httpx.Response, target: httpx.URL) -> None:
    status = response.status_code
    if status in _MAY_PASS or status >= 500:
        raise TransientError(f"{_shown(target)} answered {status} {response.reason_phrase}")
    if status != 200:
        advice = "it needs a login" if status in (401, 403) else "check the address"
        raise InvalidInput(f"{_shown(target)} answered {status} {response.reason_phrase}; {advice}")


def _parsed(url: str, relative_to: httpx.URL | None = None) -> httpx.URL:
    try:
        target = httpx.URL(url) if relative_to is None else relative_to.join(url)
    except httpx.InvalidURL as error:
        raise InvalidInput(f"the address is not valid: {error}") from None
    if target.port is not None and target.port > 65535:
        raise InvalidInput(f"the address is not valid: there is no port {target.port}")
    if target.scheme not in ("http", "https") or not target.host:
        raise InvalidInput(f"{_shown(target)} is not an http or https address with a host")
    return target


def _shown(target: httpx.URL) -> str:
    """The address without password and query, which may hold secrets, for messages that end up in records."""
    return str(target.copy_with(userinfo=b"", query=None, fragment=None))


def _file_name(target: httpx.URL, response: httpx.Response) -> str:
    header = Message()
    header["Content-Disposition"] = response.headers.get("content-disposition", "")
    name = header.get_filename() or unquote(PurePosixPath(target.path).name)
    name = _UNSAFE_IN_NAMES.sub("_", PurePosixPath(name.replace("\\", "/")).name).lstrip(".")
    return name[-150:] or "data"


def _explained(error: httpx.RequestError, target: httpx.URL) -> InvalidInput | TransientError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return InvalidInput(f"{_shown(target)} has no valid certificate: {cause.verify_message}")
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return InvalidInput(f"{_shown(target)}: there is no host named {target.host!r}; check the address")
        cause = cause.__cause__ or cause.__context__
    return TransientError(f"{_shown(target)} could not be read: {error or type(error).__name__}")

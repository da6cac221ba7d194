"""Which network addresses are public, and resolving a host to checked ones. Knows nothing of HTTP."""

from __future__ import annotations

import ipaddress
import socket

from tidemill.errors import InvalidInput, TransientError

_EMBEDDED_IPV4 = (
    # Prefix, and how far the IPv4 address is from the right: NAT64 (RFC 6052) and 6to4 (RFC 3056).
    (ipaddress.ip_network("64:ff9b::/96"), 0),
    (ipaddress.ip_network("2002::/16"), 80),
)
_NEVER_PUBLIC = (ipaddress.ip_network("64:ff9b:1::/48"), ipaddress.ip_network("2001::/32"))


def is_public(address: str) -> bool:
    """Whether ``address`` (IPv4 or IPv6, without a port) is a globally routable unicast address.

    An IPv6 address that carries an IPv4 one is judged by what it carries.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if any(parsed in network for network in _NEVER_PUBLIC):
            return False
        carried = parsed.ipv4_mapped
        for network, shift in _EMBEDDED_IPV4:
            if parsed in network:
                carried = ipaddress.IPv4Address((int(parsed) >> shift) & 0xFFFFFFFF)
        if carried is not None:
            return is_public(str(carried))
    return parsed.is_global and not parsed.is_multicast


def resolve(host: str, port: int, *, public_only: bool) -> list[str]:
    """The addresses of ``host``, every one of them checked when ``public_only``.

    Connect to one of these, not to the name: a second look-up could answer something else (DNS rebinding).

    Raises:
        InvalidInput: no such host, or one of its addresses is not public.
        TransientError: the name server does not answer.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise TransientError(f"the name server does not answer for host {host!r}") from None
        raise InvalidInput(f"there is no host named {host!r}; check the address") from None
    except UnicodeError:
        raise InvalidInput(f"{host!r} is not a host name; check the address") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if public_only and not all(is_public(address) for address in addresses):
        raise InvalidInput(
            f"host {host!r} is at a private, loopback or link-local address, which a request over HTTP may not read; "
            "upload the file instead"
        )
    return addresses

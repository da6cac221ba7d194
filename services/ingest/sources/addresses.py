"""Which network addresses are public, and resolving a host to checked ones. Knows nothing of HTTP."""

from __future__ import annotations

import ipaddress
import socket

from tidemill.errors import InvalidInput, TransientError

# Our own lists, since what ``ipaddress`` calls global differs between Python's versions and trusts every IPv6 block
# that nobody has named. Sources: the IANA special-purpose address registries (RFC 6890) for IPv4 and IPv6.
_SPECIAL_IPV4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        # Public by its number, yet inside Azure it is the host's own agent.
        "168.63.129.16/32",
    )
)  # fmt: skip
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
# 2001::/23 holds Teredo, ORCHID and benchmarking; 3ffe::/16 was the 6bone.
_SPECIAL_IPV6 = tuple(
    ipaddress.IPv6Network(block)
    for block in ("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20")
)
_CARRIES_IPV4 = (
    # Prefix, and how far the IPv4 address is from the right: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)


def is_public(address: str) -> bool:
    """Whether ``address`` (IPv4 or IPv6, without a port) is a globally routable unicast address.

    An IPv6 address that carries an IPv4 one (mapped, NAT64, 6to4) is judged by what it carries; any other one is
    public only inside ``2000::/3``. What is set aside for a special purpose (Teredo, too) is not public.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        for network, shift in _CARRIES_IPV4:
            if parsed in network:
                return _is_public_ipv4(ipaddress.IPv4Address((int(parsed) >> shift) & 0xFFFFFFFF))
        return parsed in _GLOBAL_IPV6 and not any(parsed in block for block in _SPECIAL_IPV6)
    return _is_public_ipv4(parsed)


def _is_public_ipv4(address: ipaddress.IPv4Address) -> bool:
    return not any(address in block for block in _SPECIAL_IPV4)


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

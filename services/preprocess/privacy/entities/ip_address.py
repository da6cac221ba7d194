"""IPv4 addresses in dotted decimal and IPv6 addresses (RFC 4291, section 2.2). Networks and versions are none."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network

from services.preprocess.privacy.entities.entity import Span, StructuralEntity
from services.preprocess.privacy.key import Draw

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_V4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
_FIRST_OCTET = r"(?:(?<=2)(?:5[0-5]|[0-4][0-9])|(?<=1)[0-9]{2}|(?<=[1-9])[0-9]|(?<=[0-9]))"
_GROUP = r"(?::[0-9A-Fa-f]{0,4})"
# The first sign is read before anything else is looked at: so the search leaps to what may begin an address.
_PATTERN = re.compile(
    r"(?P<address>[0-9A-Fa-f:](?<![0-9A-Za-z.].)"
    rf"(?:{_FIRST_OCTET}(?:\.{_OCTET}){{3}}"
    r"|(?<![0-9A-Fa-f:]:.)"
    rf"(?:(?<!:)[0-9A-Fa-f]{{0,3}}{_GROUP}{{2,7}}|(?<=:)[0-9A-Fa-f]{{0,4}}{_GROUP}{{1,6}})(?:(?<=:){_V4})?))"
    r"(?![0-9A-Za-z:])(?!\.[0-9A-Za-z])(?:/(?P<prefix>[0-9]{1,3}))?"
)
_DOCUMENTATION = tuple(
    ip_network(one)
    for one in (
        "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "127.0.0.0/8", "::1/128", "::/128",
        "0.0.0.0/32", "255.255.255.255/32",
    )
)  # fmt: skip
"""RFC 5737, RFC 3849, and addresses that are no host's: loopback, unspecified, broadcast."""


def _check(found: re.Match[str]) -> Span | None:
    value = found["address"]
    if ":" in value:
        try:
            IPv6Address(value)
        except ValueError:
            return None
        # C++ and Ruby write names such as ``abc::def``: an address that short has a digit.
        if value.count(":") < 4 and not any(character.isdigit() for character in value):
            return None
        # A time of day such as 12:30:: has no group of more than two characters.
        if value.count(":") < 4 and all(len(group) < 3 for group in value.split(":")):
            return None
    if found["prefix"] and _is_network(value, int(found["prefix"])):
        return None
    return (found.start("address"), found.end("address"), 2)


def _is_network(value: str, prefix: int) -> bool:
    try:
        interface = ip_interface(f"{value}/{prefix}")
    except ValueError:
        return False
    return interface.ip == interface.network.network_address and prefix < interface.max_prefixlen


def _canonical(value: str) -> str:
    return str(ip_address(value))


def _generalise(value: str) -> str:
    return str(ip_network(f"{value}/{48 if ':' in value else 24}", strict=False))


def _fake(value: str, draw: Draw) -> str:
    if ":" in value:
        return "2001:db8:" + ":".join(f"{draw.below(0xFFFF) + 1:x}" for _ in range(6))
    return f"{('192.0.2', '198.51.100', '203.0.113')[draw.below(3)]}.{draw.below(254) + 1}"


def _reserved(value: str) -> bool:
    address: IPv4Address | IPv6Address = ip_address(value)
    return any(address in network for network in _DOCUMENTATION if network.version == address.version)


IP_ADDRESS = StructuralEntity(
    name="ip_address",
    cue=r"[0-9０-９][.．][0-9０-９]{1,3}[.．][0-9０-９]|:[0-9A-Fa-f]{0,4}:",
    pattern=_PATTERN,
    check=_check,
    canonical=_canonical,
    generalise=_generalise,
    fake=_fake,
    reserved=_reserved,
)

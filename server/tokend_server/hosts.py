"""Classifies hosts before their names are resolved: this machine, an internal address, or neither."""

import ipaddress
import socket
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Networks whose last 32 bits are an IPv4 address: mapped, compatible, and NAT64 (RFC 4291, section 2.5.5; RFC 6052).
_WITH_IPV4 = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "::/96", "64:ff9b::/96")))
#: Local-use NAT64 (RFC 8215), whose targets the network's operator chooses.
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")


def is_loopback(host: str) -> bool:
    """Returns whether only this machine can reach a host, which may have the brackets of IPv6 in a URL."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_secure(scheme: str | None, host: str) -> bool:
    """Returns whether a URL ensures integrity: https, or http that does not leave this machine."""
    return scheme == "https" or (scheme == "http" and is_loopback(host))


def is_internal(address: Address) -> bool:
    """Returns whether an address is not on the public internet."""
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _WITH_IPV4):
            return is_internal(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        if address.sixtofour is not None:
            return is_internal(address.sixtofour)
        if address.is_site_local or address in _LOCAL_NAT64:
            return True
    return not address.is_global or address.is_multicast


def is_internal_host(host: str) -> bool:
    """Returns whether a host is an internal address, in any form that the C library accepts."""
    if host == "localhost" or host.endswith((".localhost", "localhost.")):
        return True
    address = address_in(host)
    return address is not None and is_internal(address)


def address_in(host: str) -> Address | None:
    """Returns the address of a host in any form that the C library accepts; None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # 2130706433, 0x7f.1, 0177.0.0.1
    except (OSError, UnicodeError):
        return None

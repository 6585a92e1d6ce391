"""A filter with which the kernel drops new connections of some hosts (Linux, `socket(7)`, SO_ATTACH_FILTER).

A classic BPF program on a listening socket sees every packet that would open a connection. It needs no privilege, and
a dropped connection costs the process nothing; TCP on the client's side retries after a second.
"""

import ctypes
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress

#: From `asm-generic/socket.h`; the module `socket` lacks them.
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27

#: The offset of the packet's network layer headers (SKF_NET_OFF in `linux/filter.h`).
_NETWORK = 0xFFF00000

#: The offsets of the source address in the headers of IPv4 and IPv6 (RFC 791, RFC 8200).
_IPV4_SOURCE, _IPV6_SOURCE = _NETWORK + 12, _NETWORK + 8

#: The instructions that are used (`linux/bpf_common.h`).
_LOAD_WORD, _LOAD_BYTE, _SHIFT_RIGHT, _JUMP, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x30, 0x74, 0x05, 0x15, 0x06

_Instruction = tuple[int, int, int, int]
_DROP: _Instruction = (_RETURN, 0, 0, 0)
_PASS: _Instruction = (_RETURN, 0, 0, 0xFFFFFFFF)

#: The kernel allows 4096 instructions in a program; each host takes five.
MAX_HOSTS = 512


def set_filter(listener: socket.socket, hosts: Sequence[str]) -> None:
    """Makes the kernel drop new connections of some hosts; without hosts, removes the filter.

    Does nothing on systems without such filters.

    Args:
        listener: A listening socket.
        hosts: IPv4 addresses and IPv6 /64 networks; only the last `MAX_HOSTS` are used.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError):
        if not hosts:
            listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            return
        code = program(hosts[-MAX_HOSTS:])
        buffer = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(code), ctypes.addressof(buffer))
        )


def program(hosts: Iterable[str]) -> Sequence[_Instruction]:
    """Returns the program: operation code, two jumps and operand of each instruction (`struct sock_filter`)."""
    networks = [ipaddress.ip_network(host) for host in hosts]
    ipv4: list[_Instruction] = [(_LOAD_WORD, 0, 0, _IPV4_SOURCE)]
    ipv6: list[_Instruction] = []
    for network in networks:
        address = int(network.network_address)
        if isinstance(network, ipaddress.IPv4Network):
            ipv4 += [(_JUMP_IF_EQUAL, 0, 1, address), _DROP]
        else:
            ipv6 += [
                (_LOAD_WORD, 0, 0, _IPV6_SOURCE),
                (_JUMP_IF_EQUAL, 0, 3, address >> 96),
                (_LOAD_WORD, 0, 0, _IPV6_SOURCE + 4),
                (_JUMP_IF_EQUAL, 0, 1, address >> 64 & 0xFFFFFFFF),
                _DROP,
            ]
    ipv4.append(_PASS)
    version = [(_LOAD_BYTE, 0, 0, _NETWORK), (_SHIFT_RIGHT, 0, 0, 4), (_JUMP_IF_EQUAL, 1, 0, 4)]
    return [*version, (_JUMP, 0, 0, len(ipv4)), *ipv4, *ipv6, _PASS]

"""A filter that has the kernel drop new connections of some hosts (Linux, `socket(7)`, SO_ATTACH_FILTER).

A classic BPF program on a listening socket sees every packet that would open a connection. It needs no privilege, and
costs the process nothing for a connection that is dropped; its client tries again after a second, as TCP does.
"""

import ctypes
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress

#: `asm-generic/socket.h`; the module `socket` does not have them.
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27

#: Where the headers of the packet's network layer begin (SKF_NET_OFF in `linux/filter.h`).
_NETWORK = 0xFFF00000

#: Where the source address is in the headers of IPv4 and IPv6 (RFC 791, RFC 8200).
_IPV4_SOURCE, _IPV6_SOURCE = _NETWORK + 12, _NETWORK + 8

#: The instructions that are needed here (`linux/bpf_common.h`).
_LOAD_WORD, _LOAD_BYTE, _SHIFT_RIGHT, _JUMP, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x30, 0x74, 0x05, 0x15, 0x06

_Instruction = tuple[int, int, int, int]
_DROP: _Instruction = (_RETURN, 0, 0, 0)
_PASS: _Instruction = (_RETURN, 0, 0, 0xFFFFFFFF)

#: A program of the kernel's has 4096 instructions at most; a host takes five of them.
MOST_HOSTS = 512


def set_filter(listener: socket.socket, hosts: Sequence[str]) -> None:
    """Has the kernel drop what opens a connection of these hosts; of none: takes the filter away.

    Where there is no such filter, nothing happens.

    Args:
        listener: A listening socket.
        hosts: IPv4 addresses and /64 networks of IPv6; of more than `MOST_HOSTS`, the last ones count.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError):
        if not hosts:
            listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            return
        code = program(hosts[-MOST_HOSTS:])
        buffer = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(code), ctypes.addressof(buffer))
        )


def program(hosts: Iterable[str]) -> Sequence[_Instruction]:
    """The program, as operation code, the two jumps and the operand of each instruction (`struct sock_filter`)."""
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

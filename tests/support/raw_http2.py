"""A gRPC call by a minimal HTTP/2 client, which never acknowledges the server's SETTINGS.

Frames are those of RFC 9113, header blocks those of RFC 7541 with literal fields only.
"""

import socket
import ssl
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from tests.support.grpc_service import TIMEOUT

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x7, 0x8, 0x9
_END_STREAM, _END_HEADERS = 0x1, 0x4

#: The largest frame that every server must accept (RFC 9113, section 6.5.2).
_MAX_FRAME = 16_384

#: gRPC's own setting: the client accepts raw binary metadata, not in base64.
_ALLOW_TRUE_BINARY_METADATA = struct.pack(">HI", 0xFE03, 1)

#: A parameter of SETTINGS: no octet of a message may be sent before a WINDOW_UPDATE (RFC 9113, section 6.9.2).
_CLOSED_WINDOW = struct.pack(">HI", 0x4, 0)

#: A parameter of SETTINGS: the number of streams that the peer may have open.
MAX_CONCURRENT_STREAMS = 0x3


@dataclass(frozen=True)
class Ending:
    """The end of a call.

    Attributes:
        fields: The response's header and trailer fields with literal names; the status is in `grpc-status`.
        reset: Whether the server reset the stream or the connection instead of responding.
    """

    fields: dict[bytes, bytes]
    reset: bool = False


def settings(address: str) -> dict[int, int]:
    """The server's SETTINGS: values by parameter."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as connection:
        connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        payload = next(payload for kind, _, payload in _frames(connection) if kind == _SETTINGS)
    return dict(struct.iter_unpack(">HI", payload))


def call(address: str, path: str, message: bytes, metadata: Sequence[tuple[str, str]]) -> Ending:
    """Makes a unary call with these header fields in addition to gRPC's required ones."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as connection:
        return call_on(connection, address, path, message, metadata)


def call_on(
    connection: socket.socket, address: str, path: str, message: bytes, metadata: Sequence[tuple[str, str]] = ()
) -> Ending:
    """Makes the first call on a connection."""
    scheme = "https" if isinstance(connection, ssl.SSLSocket) else "http"
    block = b"".join(_literal(name, value) for name, value in (*_required_fields(scheme, path, address), *metadata))
    connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, _ALLOW_TRUE_BINARY_METADATA))
    connection.sendall(b"".join(_header_frames(block)))
    connection.sendall(_frame(_DATA, _END_STREAM, 1, struct.pack(">BI", 0, len(message)) + message))
    return _ending(_frames(connection))


class StalledStream:
    """A streaming call, the first on its connection, which accepts no response until its window is opened."""

    def __init__(
        self, connection: socket.socket, address: str, path: str, message: bytes, metadata: Sequence[tuple[str, str]]
    ) -> None:
        self._connection = connection
        self._received, self._read = _frames(connection), list[tuple[int, int, bytes]]()
        block = b"".join(_literal(name, value) for name, value in (*_required_fields("http", path, address), *metadata))
        connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, _CLOSED_WINDOW))
        connection.sendall(b"".join(_header_frames(block)))
        connection.sendall(_frame(_DATA, 0, 1, struct.pack(">BI", 0, len(message)) + message))

    def until_response(self) -> None:
        """Waits for the headers of the response, whose message is sent as soon as the window allows."""
        self._until(_HEADERS)

    def until_goaway(self) -> None:
        """Waits for the server's GOAWAY."""
        self._until(_GOAWAY)

    def open_window(self) -> Ending:
        """Reads all frames to the end of the call."""
        self._connection.sendall(_frame(_WINDOW_UPDATE, 0, 1, struct.pack(">I", 1 << 20)))
        frames = chain(self._read, self._received)
        return _ending(each for each in frames if each[0] != _GOAWAY or _error_code(each[2]))

    def _until(self, kind: int) -> None:
        for each in self._received:
            self._read.append(each)
            if each[0] == kind:
                return
        raise AssertionError("the connection has ended")


def _required_fields(scheme: str, path: str, authority: str) -> Sequence[tuple[str, str]]:
    return (
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    )


def _ending(frames: Iterable[tuple[int, int, bytes]]) -> Ending:
    fields: dict[bytes, bytes] = {}
    for kind, flags, payload in frames:
        if kind in {_RST_STREAM, _GOAWAY}:
            break
        if kind in {_HEADERS, _CONTINUATION}:
            fields |= _fields(payload)
            if kind == _HEADERS and flags & _END_STREAM:
                return Ending(fields)
    return Ending(fields, reset=True)


def _frames(connection: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yields the server's frames, as type, flags and payload, until it closes the connection."""
    with connection.makefile("rb") as stream:
        while len(header := stream.read(9)) == 9:
            kind, flags = header[3:5]
            yield kind, flags, stream.read(int.from_bytes(header[:3]))


def _error_code(goaway: bytes) -> int:
    """Returns the error code of a GOAWAY; 0 without an error (RFC 9113, section 6.8)."""
    return int.from_bytes(goaway[4:8])


def _frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream_id) + payload


def _header_frames(block: bytes) -> Iterator[bytes]:
    parts = [block[start : start + _MAX_FRAME] for start in range(0, len(block), _MAX_FRAME)]
    for number, part in enumerate(parts):
        flags = _END_HEADERS if number == len(parts) - 1 else 0
        yield _frame(_CONTINUATION if number else _HEADERS, flags, 1, part)


def _literal(name: str, value: str) -> bytes:
    """Encodes a field without indexing, with a new name."""
    return b"\x00" + _string(name.encode("ascii")) + _string(value.encode("ascii"))


def _string(octets: bytes) -> bytes:
    """Encodes a string without Huffman coding: its length with a prefix of 7 bits, then the string."""
    length = len(octets)
    if length < 0x7F:
        return bytes([length]) + octets
    rest, encoded = length - 0x7F, b"\x7f"
    while rest >= 0x80:
        encoded += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return encoded + bytes([rest]) + octets


def _fields(block: bytes) -> dict[bytes, bytes]:
    """Returns the fields of a block with literal names; gRPC's servers use no Huffman coding for them."""
    fields, at = {}, 0
    while at < len(block):
        first = block[at]
        prefix = 7 if first & 0x80 else 6 if first & 0x40 else 5 if first & 0x20 else 4
        index, at = _integer(block, at, prefix)
        if first & 0x80 or prefix == 5:  # an indexed field, or a table size update
            continue
        name, at = _read_string(block, at) if index == 0 else (b"", at)
        value, at = _read_string(block, at)
        if name:
            fields[name] = value
    return fields


def _read_string(block: bytes, at: int) -> tuple[bytes, int]:
    length, at = _integer(block, at, 7)
    return block[at : at + length], at + length


def _integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """Returns an integer with `prefix` bits in its first octet, and its end (RFC 7541, section 5.1)."""
    most = (1 << prefix) - 1
    value, at = block[at] & most, at + 1
    if value < most:
        return value, at
    shift = 0
    while True:
        octet, at = block[at], at + 1
        value += (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            return value, at

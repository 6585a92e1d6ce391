"""Many connections of one process, which send the data of an attack during its time."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.attacks.http2 import GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, FrameReader

#: The data of one connection in bundles; an empty bundle is a pause.
Script = Iterator[bytes]

#: The output of an attacking process when it has a connection.
BEGUN = "begun"

PAUSE_SECONDS = 0.05

#: The timeout of a connection attempt.
_CONNECT_SECONDS = 2.0

#: The timeout of the first connection, among hundreds whose handshakes share a busy core.
_START_SECONDS = 30.0

_NAMES = {HEADERS: "headers", RST_STREAM: "resets", GOAWAY: "goaways", SETTINGS: "settings", PING: "pings"}


@dataclass(frozen=True)
class Flood:
    """An attack.

    Attributes:
        script: The data of each connection, which stays open afterwards.
        connections: The number of concurrent connections.
        reads: Whether they read the server's data.
        handshakes: Whether connections to a TLS listener do the handshake before the script.
        returns: Whether connections that the server ends are opened again.
        renews: Whether each connection closes after its script, and is opened again at once.
    """

    script: Callable[[], Script]
    connections: int
    reads: bool = True
    handshakes: bool = True
    returns: bool = True
    renews: bool = False


@dataclass
class Tally:
    """The result of a flood.

    Attributes:
        sent_bytes: The number of sent bytes.
        connected: The number of opened connections, including reopened ones.
        refused: The number of failed attempts to connect.
        ended: The number of connections that the server ended.
        received: The server's frames by kind.
    """

    sent_bytes: int = 0
    connected: int = 0
    refused: int = 0
    ended: int = 0
    received: Counter[str] = field(default_factory=Counter)


async def run(  # noqa: PLR0913 - what attacks differ in
    flood: Flood,
    address: str,
    seconds: float,
    tls: ssl.SSLContext | None = None,
    *,
    begun: Callable[[], None] = lambda: None,
    enough: asyncio.Event | None = None,
) -> Tally:
    """Floods an address, HOST:PORT or unix:PATH, for this long from the first connection on.

    A connection that ends is opened again.

    Args:
        flood: The attack.
        address: The address.
        seconds: The maximum duration.
        tls: The TLS settings of connections.
        begun: Called when there is a connection.
        enough: Set it to end the flood.
    """
    tally, connected, enough = Tally(), asyncio.Event(), enough or asyncio.Event()
    with suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS) as end, asyncio.TaskGroup() as group:
            for _ in range(flood.connections):
                group.create_task(_keep_going(flood, address, tls, tally, connected))
            await connected.wait()
            begun()
            end.reschedule(asyncio.get_running_loop().time() + seconds)
            await enough.wait()  # regardless of its connections
            end.reschedule(0)
            await asyncio.Event().wait()
    return tally


async def _keep_going(
    flood: Flood, address: str, tls: ssl.SSLContext | None, tally: Tally, connected: asyncio.Event
) -> None:
    while True:
        try:
            async with _connection(address, tls if flood.handshakes else None) as (reader, writer):
                tally.connected += 1
                connected.set()
                await _converse(flood, reader, writer, tally)
                tally.ended += not flood.renews
        except (OSError, TimeoutError):
            tally.refused += 1
        else:
            if not flood.returns:
                return
            if flood.renews:
                continue
        await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def _connection(
    address: str, tls: ssl.SSLContext | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(_CONNECT_SECONDS):
        reader, writer = (
            await asyncio.open_unix_connection(port)
            if host == "unix"
            else await asyncio.open_connection(host, int(port), ssl=tls)
        )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _converse(flood: Flood, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally) -> None:
    """Waits until the server has ended the connection."""
    if not flood.reads:
        writer.transport.pause_reading()  # type: ignore[attr-defined] # a stream's transport goes both ways
    tasks = {asyncio.create_task(_send(flood.script(), writer, tally, stays=not flood.renews))}
    if flood.reads:
        tasks.add(asyncio.create_task(_read(reader, tally)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(script: Script, writer: asyncio.StreamWriter, tally: Tally, *, stays: bool) -> None:
    for bundle in script:
        if bundle:
            writer.write(bundle)
            await writer.drain()
            tally.sent_bytes += len(bundle)
        await asyncio.sleep(0 if bundle else PAUSE_SECONDS)
    if not stays:
        return
    await asyncio.Event().wait()


async def _read(reader: asyncio.StreamReader, tally: Tally) -> None:
    frames = FrameReader()
    while octets := await reader.read(65_536):
        for kind, *_ in frames.feed(octets):
            tally.received[_NAMES.get(kind, "others")] += 1

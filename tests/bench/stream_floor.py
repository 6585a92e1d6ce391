"""Servers of quiet streams without any logic, one per kind: `python -m tests.bench.stream_floor KIND PORT STREAMS`.

Each responds to a message at once, and then waits for the next one of the stream.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import grpc

_Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"

SERVICE, METHOD = "bench.Streams", "Stream"
OPTIONS = (("grpc.so_reuseport", 0),)

#: The size of a token of three tags in its message.
ANSWER = bytes(1200)


def _by_threads(messages: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
    for _ in messages:
        yield ANSWER


async def _by_asyncio(messages: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
    async for _ in messages:
        yield ANSWER


def serve_by_threads(port: int, streams: int) -> None:
    server = grpc.server(ThreadPoolExecutor(streams), options=OPTIONS)
    handler: _Handler = grpc.stream_stream_rpc_method_handler(_by_threads)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def serve_by_asyncio(port: int, _streams: int) -> None:
    asyncio.run(_serve_by_asyncio(port))


async def _serve_by_asyncio(port: int) -> None:
    server = grpc.aio.server(options=OPTIONS)
    handler: _Handler = grpc.stream_stream_rpc_method_handler(_by_asyncio)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


KINDS: Mapping[str, Callable[[int, int], None]] = {"threads": serve_by_threads, "asyncio": serve_by_asyncio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("port", type=int)
    parser.add_argument("streams", type=int)
    arguments = parser.parse_args()
    KINDS[arguments.kind](arguments.port, arguments.streams)


if __name__ == "__main__":
    main()

"""The floor: the cost of one signature and of gRPC itself.

A bare grpcio server. Each call signs the signing input of a real token, and returns a constant response. Runs as a
separate process.
"""

import argparse
import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from tests.bench.messages import METHOD, SERVICE, signing_input

from tokend_server.clock import SystemClock
from tokend_server.rpc.worker_pool import WorkerPool

#: The kinds of floor: grpcio's thread-pool server, the same on tokend's pool of threads, and grpcio's asyncio server.
KINDS = ("threads", "worker pool", "asyncio")


def signer(algorithm: str) -> Callable[[bytes], bytes]:
    """Returns the signer with a new key for an algorithm by its name in RFC 7518, section 3.1."""
    match algorithm:
        case "RS512":
            rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            return lambda data: rsa_key.sign(data, padding.PKCS1v15(), SHA512())
        case "ES256":
            ec_key = ec.generate_private_key(ec.SECP256R1())
            return lambda data: ec_key.sign(data, ec.ECDSA(SHA256()))
        case "none":
            return lambda data: data
        case _:
            raise ValueError(f"no floor for {algorithm}")


def handlers(algorithm: str, answer: bytes) -> grpc.GenericRpcHandler:
    """Returns the handler of the only method, for a thread-pool server."""
    sign = signer(algorithm)
    data = signing_input(answer)

    def get_token(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        sign(data)
        return answer

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(get_token)
    return grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})


def serve_on(pool: ThreadPoolExecutor, handler: grpc.GenericRpcHandler, address: str) -> None:
    """Serves with a pool of threads until SIGTERM, which only this thread accepts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    server = grpc.server(pool)
    server.add_generic_rpc_handlers([handler])
    server.add_insecure_port(address)
    server.start()
    signal.sigwait([signal.SIGTERM])
    server.stop(grace=None).wait()


async def serve_by_asyncio(algorithm: str, answer: bytes, address: str) -> None:
    """Serves with an event loop, which also signs, until SIGTERM."""
    sign = signer(algorithm)
    data = signing_input(answer)

    async def get_token(_request: bytes, _context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        sign(data)
        return answer

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(get_token)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})])
    server.add_insecure_port(address)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await server.start()
    await stopped.wait()
    await server.stop(grace=None)


def own_pool(threads: int) -> WorkerPool:
    """Returns the pool of a tokend with this many threads."""
    return WorkerPool(threads, 2 * threads, SystemClock(), refuse=lambda *_: None, on_skipped=lambda *_: None)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--algorithm", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--answer", type=Path, required=True, help="file with a serialized response")
    parser.add_argument("--kind", choices=KINDS, default="threads")
    options = parser.parse_args()
    address, answer = f"127.0.0.1:{options.port}", options.answer.read_bytes()
    if options.kind == "asyncio":
        asyncio.run(serve_by_asyncio(options.algorithm, answer, address))
        return
    pool = own_pool(options.threads) if options.kind == "worker pool" else ThreadPoolExecutor(options.threads)
    serve_on(pool, handlers(options.algorithm, answer), address)


if __name__ == "__main__":
    main()

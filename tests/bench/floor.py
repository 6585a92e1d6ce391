"""The floor: what one signature and gRPC itself cost, with nothing else around them.

A bare grpcio thread-pool server. Each call makes one signature over the signing input of a token of real size, and
answers with the same bytes every time. Run as a process of its own.
"""

import argparse
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from tests.bench.messages import METHOD, SERVICE, signing_input


def signer(algorithm: str) -> Callable[[bytes], bytes]:
    """What signs with a new key, by the name of the algorithm in RFC 7518, section 3.1."""
    match algorithm:
        case "RS512":
            rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            return lambda data: rsa_key.sign(data, padding.PKCS1v15(), SHA512())
        case "ES256":
            ec_key = ec.generate_private_key(ec.SECP256R1())
            return lambda data: ec_key.sign(data, ec.ECDSA(SHA256()))
        case _:
            raise ValueError(f"no floor for {algorithm}")


def build_server(algorithm: str, threads: int, port: int, answer: bytes) -> grpc.Server:
    """The server, not yet started, on a port of the loopback."""
    sign = signer(algorithm)
    data = signing_input(answer)

    def get_token(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        sign(data)
        return answer

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(get_token)
    server = grpc.server(ThreadPoolExecutor(threads))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})])
    server.add_insecure_port(f"127.0.0.1:{port}")
    return server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--algorithm", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--answer", type=Path, required=True, help="file with a serialized response")
    options = parser.parse_args()
    server = build_server(options.algorithm, options.threads, options.port, options.answer.read_bytes())
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    server.start()
    stopped.wait()
    server.stop(grace=None).wait()


if __name__ == "__main__":
    main()

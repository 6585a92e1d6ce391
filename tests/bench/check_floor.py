"""The floor of an ext_authz server in Python: grpcio over mutual TLS, and the same response to every Check.

Runs as a separate process; check_floor_go/main.go is the same in Go.
"""

import argparse
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tests.bench.processes import THREADS

from tokend_server.mesh.authorization import SERVICE_NAME
from tokend_server.rpc.server import SERVICE_NAME as HEALTH_NAME


def serve(port: int, files: Path, answer: bytes) -> None:
    """Serves until SIGTERM, which only this thread accepts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    server = grpc.server(ThreadPoolExecutor(THREADS))
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        lambda _request, _context: answer
    )
    server.add_registered_method_handlers(SERVICE_NAME, {"Check": handler})
    state = health.HealthServicer()
    state.set(HEALTH_NAME, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    key, certificate, authorities = ((files / name).read_bytes() for name in ("tls.key", "tls.crt", "clients.crt"))
    credentials = grpc.ssl_server_credentials([(key, certificate)], authorities, require_client_auth=True)
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
    server.start()
    signal.sigwait([signal.SIGTERM])
    server.stop(grace=None).wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--files", type=Path, required=True, help="directory of tls.crt, tls.key and clients.crt")
    parser.add_argument("--answer", type=Path, required=True, help="file with a serialized CheckResponse")
    options = parser.parse_args()
    serve(options.port, options.files, options.answer.read_bytes())


if __name__ == "__main__":
    main()

"""How to reach a tokend service."""

import ssl
from pathlib import Path

import grpc


def create_channel(endpoint: str, *, tls: bool = False, root_certificates: bytes | None = None) -> grpc.Channel:
    """A channel to the service; nothing is connected until the first call.

    It goes there directly, whatever proxies the environment names: tokend is an internal service, and login values
    must not pass a proxy by accident.

    Args:
        endpoint: `HOST:PORT`, `unix:PATH`, or another target that gRPC knows.
        tls: Whether to speak TLS.
        root_certificates: PEM of the certificates to trust; None trusts those of the system.
    """
    options = [("grpc.enable_http_proxy", 0)]
    if not tls:
        return grpc.insecure_channel(endpoint, options)
    credentials = grpc.ssl_channel_credentials(root_certificates or _system_root_certificates())
    return grpc.secure_channel(endpoint, credentials, options)


def _system_root_certificates() -> bytes | None:
    # Left to itself, grpcio trusts the certificates in its own wheel and not those that the system was given.
    cafile = ssl.get_default_verify_paths().cafile
    return Path(cafile).read_bytes() if cafile else None

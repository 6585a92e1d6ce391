"""Channels to a tokend service: addresses, TLS, retries and deadlines (`clients/README.md`)."""

import errno
import ipaddress
import json
import os
import re
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from tokend_client.bearer import BearerToken, bearer_call_credentials
from tokend_client.pem import has_certificates
from tokend_client.telemetry import client_version

#: gRPC channel arguments.
Options: TypeAlias = Sequence[tuple[str, Any]]

#: The default timeout of a call, in seconds.
DEFAULT_TIMEOUT = 3.0

_SERVICE = "tokend.v1.DeveloperIdentityService"

#: Maximum milliseconds between attempts to connect: gRPC's default of two minutes would prolong an outage.
_MAX_RECONNECT_BACKOFF = 1000

#: The same for the first attempt.
_INITIAL_RECONNECT_BACKOFF = 100

#: Milliseconds that an attempt to connect may take. gRPC names it the minimum time between two attempts.
_CONNECT_TIMEOUT = 3000

#: Milliseconds without traffic before a connection is pinged, and milliseconds to wait for the response.
_KEEPALIVE_TIME = 30_000
_KEEPALIVE_TIMEOUT = 3000

#: The beginning of PEM data (RFC 7468, section 2).
_PEM = b"-----BEGIN "


def service_config() -> str:
    """Returns the service config (gRFC A2) of all tokend clients as JSON, without its `timeout`.

    grpcio ends a call well before that `timeout`, so the client sets the deadline of each call instead.
    """
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            "healthCheckConfig": {"serviceName": _SERVICE},
            "methodConfig": [
                {
                    "name": [{"service": _SERVICE}],
                    "retryPolicy": {
                        "maxAttempts": 4,
                        "initialBackoff": "0.05s",
                        "maxBackoff": "1s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                    },
                }
            ],
            "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
        }
    )


def channel_options(options: Options) -> list[tuple[str, Any]]:
    """Returns the channel arguments of a client: the given ones over its defaults.

    The proxy variables of the environment are ignored: login values must not pass through a proxy by accident.
    """
    defaults = {
        "grpc.enable_http_proxy": 0,
        "grpc.keepalive_time_ms": _KEEPALIVE_TIME,
        "grpc.keepalive_timeout_ms": _KEEPALIVE_TIMEOUT,
        # gRPC also measures bandwidth with pings, and keepalive would wait a minute for such a ping.
        "grpc.http2.ping_timeout_ms": _KEEPALIVE_TIMEOUT,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.max_pings_without_data": 0,
        "grpc.initial_reconnect_backoff_ms": _INITIAL_RECONNECT_BACKOFF,
        "grpc.min_reconnect_backoff_ms": _CONNECT_TIMEOUT,
        "grpc.max_reconnect_backoff_ms": _MAX_RECONNECT_BACKOFF,
        "grpc.primary_user_agent": f"tokend-python/{client_version()}",
        "grpc.service_config": service_config(),
    }
    return list((defaults | dict(options)).items())


def tls_credentials(
    root_certificates: bytes | None = None, private_key: bytes | None = None, certificate_chain: bytes | None = None
) -> grpc.ChannelCredentials:
    """Returns TLS credentials; with a key and its certificate, for mutual TLS.

    Args:
        root_certificates: PEM of the certificates to trust; None trusts those of the system.
        private_key: PEM of the client's key.
        certificate_chain: PEM of the client's certificate and its intermediate certificates.

    Raises:
        ValueError: Only one of `private_key` and `certificate_chain` is given, or a value is not PEM, for example the
            content of a file that is being written.
        OSError: The file in `SSL_CERT_FILE` cannot be read, or contains no PEM certificate.
    """
    if (private_key is None) != (certificate_chain is None):
        raise ValueError("private_key and certificate_chain must be given together")
    given = {
        "root_certificates": root_certificates,
        "private_key": private_key,
        "certificate_chain": certificate_chain,
    }
    # gRPC terminates the process if a key or its certificate is empty.
    if problems := [name for name, content in given.items() if content is not None and _PEM not in content]:
        raise ValueError(f"{', '.join(problems)}: no PEM")
    roots = _system_root_certificates() if root_certificates is None else root_certificates
    return grpc.ssl_channel_credentials(roots, private_key, certificate_chain)


def channel_credentials(
    target: str, credentials: grpc.ChannelCredentials | None, bearer_token: BearerToken | None, *, plaintext: bool
) -> grpc.ChannelCredentials | None:
    """Returns the credentials of a channel, with the bearer token; None for plaintext without one.

    Raises:
        ValueError: `plaintext` is combined with credentials, or with a bearer token for another machine.
        OSError: As `tls_credentials`.
    """
    problems = []
    if plaintext and credentials is not None:
        problems.append("plaintext=True and credentials exclude each other")
    if plaintext and bearer_token is not None and not _is_local(target):
        problems.append("a bearer token is not sent to another machine in plaintext: leave plaintext out for TLS")
    if problems:
        raise ValueError("; ".join(problems))
    secured = None if plaintext else credentials or tls_credentials()
    if bearer_token is None:
        return secured
    return grpc.composite_channel_credentials(
        secured or _local_credentials(target), bearer_call_credentials(bearer_token)
    )


def _local_credentials(target: str) -> grpc.ChannelCredentials:
    """Returns plaintext credentials for connections within this machine; gRPC checks each connection."""
    kind = grpc.LocalConnectionType.UDS if _is_unix_socket(target) else grpc.LocalConnectionType.LOCAL_TCP
    return grpc.local_channel_credentials(kind)


def _is_unix_socket(target: str) -> bool:
    return target.startswith(("unix:", "unix-abstract:"))


def _is_local(target: str) -> bool:
    if _is_unix_socket(target):
        return True
    # dns:///HOST:PORT, ipv4:A:PORT,B:PORT, ipv6:[A]:PORT, HOST:PORT
    addresses = re.sub(r"^(dns:(///?)?|ipv4:|ipv6:)", "", target).split(",")
    return all(_is_loopback(re.sub(r":\d+$", "", address).strip("[]")) for address in addresses)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _system_root_certificates() -> bytes | None:
    # By default, grpcio trusts the certificates in its own wheel, not those of the system.
    paths = ssl.get_default_verify_paths()
    if named := os.environ.get(paths.openssl_cafile_env):
        return _named_root_certificates(named)
    return Path(paths.cafile).read_bytes() if paths.cafile else None


def _named_root_certificates(path: str) -> bytes:
    # Python ignores a missing file, and gRPC would then trust other certificates.
    content = Path(path).read_bytes()
    if not has_certificates(content):
        raise OSError(errno.EINVAL, "SSL_CERT_FILE contains no PEM certificate", path)
    return content

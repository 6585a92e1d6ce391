"""The connection, configured by the options."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from tokend_client.bearer import BearerToken
from tokend_client.channel import tls_credentials
from tokend_client.client import Client
from tokend_client.pem import has_certificates
from tokend_client.tokendctl.endpoint import Endpoint
from tokend_client.tokendctl.errors import CommandFailed, InvalidInput
from tokend_client.tokendctl.exit_codes import ExitCode


def endpoint_of(options: Mapping[str, Any]) -> Endpoint:
    """Returns the endpoint in the options."""
    endpoint: Endpoint = options["endpoint_url"] or options["endpoint"]
    return endpoint


def connect(options: Mapping[str, Any]) -> Client:
    """Returns a client for one call.

    Raises:
        InvalidInput: The options contradict each other.
        CommandFailed: A file cannot be read, or its content is invalid.
    """
    endpoint = endpoint_of(options)
    identity = _identity(options["client_certificate_file"], options["client_key_file"])
    ca_file: Path | None = options["ca_file"]
    secured = options["tls"] or ca_file is not None or identity is not None
    if secured and endpoint.tls is False:
        raise InvalidInput("--endpoint-url: http is plaintext, but another option requires TLS: use https")
    credentials = _tls(ca_file, identity) if secured or endpoint.tls else None
    try:
        return Client(
            endpoint.target,
            credentials=credentials,
            bearer_token=_bearer_token(options["bearer_token_file"]),
            plaintext=credentials is None,
            timeout=options["timeout"],
            # One call needs no health watch, and gRPC would log an error if the service has no health service.
            options=[("grpc.inhibit_health_checking", 1)],
        )
    except ValueError:
        raise InvalidInput(
            "--bearer-token-file requires --tls or --ca-file if the endpoint is another machine"
        ) from None


def _bearer_token(path: Path | None) -> BearerToken | None:
    if path is None:
        return None
    try:
        if path.is_file():
            path.open("rb").close()
            return path
        # A pipe can be read only once, and a retry would read nothing.
        token = path.read_bytes().decode("latin-1")
    except OSError as error:
        raise _unreadable("--bearer-token-file", error) from None
    return lambda: token


def _tls(ca_file: Path | None, identity: tuple[bytes, bytes] | None) -> grpc.ChannelCredentials:
    roots = _pem(ca_file) if ca_file is not None else None
    try:
        if identity is None:
            return tls_credentials(roots)
        certificate, key = identity
        return tls_credentials(roots, key, certificate)
    except ValueError:
        raise _no_identity() from None
    except OSError as error:
        raise CommandFailed(f"{error.filename}: {error.strerror}", ExitCode.CONFIGURATION) from None


def _pem(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable("--ca-file", error) from None
    if not has_certificates(content):
        raise CommandFailed("--ca-file: not a file of PEM certificates", ExitCode.CONFIGURATION)
    return content


def _identity(certificate: Path | None, key: Path | None) -> tuple[bytes, bytes] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InvalidInput("--client-certificate-file and --client-key-file must be given together")
    try:
        # A pipe can be read only once.
        content = certificate.read_bytes(), key.read_bytes()
        if certificate.is_file() and key.is_file():
            # gRPC would only report a failed connection. A password, so that OpenSSL does not prompt for one.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except ssl.SSLError:
        raise _no_identity() from None
    except OSError as error:
        raise _unreadable("--client-certificate-file, --client-key-file", error) from None
    return content


def _no_identity() -> CommandFailed:
    return CommandFailed(
        "--client-certificate-file and --client-key-file are not a PEM certificate and its unencrypted key",
        ExitCode.CONFIGURATION,
    )


def _unreadable(option: str, error: OSError) -> CommandFailed:
    return CommandFailed(f"{option}: cannot read the file: {error.strerror}", ExitCode.CONFIGURATION)

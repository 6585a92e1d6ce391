"""The connection that the options ask for."""

import ssl
from pathlib import Path

import click
import grpc

from tokend_client.channel import tls_credentials
from tokend_client.client import TokendClient


def connect(  # noqa: PLR0913 - the options, by their names
    *,
    endpoint: str,
    timeout: float,
    tls: bool,
    ca_file: bytes | None,
    client_certificate_file: Path | None,
    client_key_file: Path | None,
    bearer_token_file: Path | None,
) -> TokendClient:
    """A client for one call.

    Raises:
        click.UsageError: The options contradict each other, or their files do.
        click.FileError: A file cannot be read.
    """
    identity = _identity(client_certificate_file, client_key_file)
    try:
        credentials = _tls(ca_file, identity) if tls or ca_file is not None or identity else None
        return TokendClient(
            endpoint,
            credentials=credentials,
            bearer_token=bearer_token_file,
            insecure=credentials is None,
            timeout=timeout,
            # One call has no use for a watch of the service's health, and gRPC would complain where there is none.
            options=[("grpc.inhibit_health_checking", 1)],
        )
    except OSError as error:
        raise click.FileError(str(error.filename), error.strerror) from None
    except ValueError:
        raise click.UsageError(
            "--bearer-token-file needs --tls or --ca-file where the endpoint is another machine"
        ) from None


def _tls(ca_file: bytes | None, identity: tuple[Path, Path] | None) -> grpc.ChannelCredentials:
    if identity is None:
        return tls_credentials(ca_file)
    certificate, key = identity
    return tls_credentials(ca_file, key.read_bytes(), certificate.read_bytes())


def _identity(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise click.UsageError("--client-certificate-file and --client-key-file go together")
    try:
        # gRPC would only say, when it connects, that it cannot. The password keeps OpenSSL from asking for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise click.UsageError(
            "--client-certificate-file and --client-key-file are not a PEM certificate and its unencrypted key"
        ) from error
    return certificate, key

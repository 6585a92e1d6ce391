"""Calls to tokend, with the current certificates in the files."""

import logging
import ssl
import threading
from collections.abc import Iterator

from tokend_client.agent.configuration import Service
from tokend_client.channel import tls_credentials
from tokend_client.client import Client
from tokend_client.errors import Closed
from tokend_client.model import Token, TokenRequest
from tokend_client.pem import has_certificates
from tokend_client.turns import REFRESHES_AT_A_TIME

_LOG = logging.getLogger("tokend_client.agent")

_Files = tuple[bytes | None, ...]


class ConnectionProblem(Exception):
    """Raised if no client can be created.

    Attributes:
        problems: A text for each invalid setting.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Connection:
    """A client of tokend for all threads. It is replaced when certificates change, since gRPC reads them once.

    Args:
        service: The settings of the connection.

    Raises:
        ConnectionProblem: A file cannot be read, or its content is invalid.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._is_closed = False
        self._turns = threading.BoundedSemaphore(REFRESHES_AT_A_TIME)
        self._content = _read_files(service)
        self._client = _make_client(service, self._content)
        #: The previous client, whose calls end by themselves.
        self._former: Client | None = None

    def get_token(self, request: TokenRequest) -> Token:
        """Calls tokend.

        Raises:
            TokendError: The call failed.
        """
        with self._turns:
            return self._current_client().get_token(request, timeout=self._service.timeout_seconds)

    def apply(self, service: Service) -> None:
        """Uses new settings for calls. Running calls end by themselves.

        Raises:
            ConnectionProblem: The settings are invalid. Calls use the previous ones.
        """
        content = _read_files(service)
        client = _make_client(service, content)
        with self._lock:
            self._service = service
            self._replace(client, content)

    def close(self) -> None:
        """Cancels running calls, and rejects later ones."""
        with self._lock:
            self._is_closed = True
            for client in filter(None, (self._former, self._client)):
                client.close()

    def _current_client(self) -> Client:
        with self._lock:
            if self._is_closed:
                raise Closed
            try:
                content = _read_files(self._service)
                if content != self._content:
                    self._replace(_make_client(self._service, content), content)
                    _LOG.info("Certificates have changed; calls to tokend use the new ones")
            except ConnectionProblem as problem:
                # For example a new certificate whose key is not yet written.
                _LOG.warning("Keeping the previous certificates: %s", problem)
            return self._client

    def _replace(self, client: Client, content: _Files) -> None:
        if self._former is not None:
            self._former.close()
        self._former, self._client, self._content = self._client, client, content


def check_connection(service: Service) -> None:
    """Checks the settings of a connection.

    Raises:
        ConnectionProblem: The settings are invalid.
    """
    Connection(service).close()


def _read_files(service: Service) -> _Files:
    """The contents of the certificate files."""
    problems: list[str] = []
    content = []
    for name in ("ca_file", "client_certificate_file", "client_key_file", "bearer_token_file"):
        path = getattr(service, name)
        try:
            content.append(path.read_bytes() if path else None)
        except OSError as error:
            problems.append(f"tokend.{name}: {path}: {error.strerror}")
    if problems:
        raise ConnectionProblem(*problems)
    # The bearer token is read by the client, for each call.
    return tuple(content[:3])


def _make_client(service: Service, content: _Files) -> Client:
    if problems := [*_pem_problems(service, content)]:
        raise ConnectionProblem(*problems)
    ca, certificate, key = content
    try:
        credentials = None if service.plaintext else tls_credentials(ca, key, certificate)
    except ValueError as error:
        # The check has read the files again, after their content was read.
        raise ConnectionProblem(f"tokend: the files are being written: {error}") from None
    except OSError as error:
        raise ConnectionProblem(f"tokend: {error.filename}: {error.strerror}") from None
    try:
        return Client(
            service.endpoint,
            credentials=credentials,
            plaintext=service.plaintext,
            bearer_token=service.bearer_token_file,
        )
    except ValueError:
        raise ConnectionProblem(
            "tokend.bearer_token_file: is not sent to another machine in plaintext: remove plaintext = true"
        ) from None


def _pem_problems(service: Service, content: _Files) -> Iterator[str]:
    ca = content[0]
    if ca is not None and not has_certificates(ca):
        yield "tokend.ca_file: contains no PEM certificate"
    if service.client_certificate_file is not None:
        try:
            # gRPC would only report a failed connection. A password, so that OpenSSL does not prompt for one.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
                service.client_certificate_file, service.client_key_file, password=""
            )
        except (ssl.SSLError, OSError):
            yield "tokend.client_certificate_file, client_key_file: are not a PEM certificate and its unencrypted key"

"""Calls to tokend, with the certificates that the files hold now."""

import logging
import ssl
import threading
from collections.abc import Iterator

from tokend_client.agent.configuration import Service
from tokend_client.channel import tls_credentials
from tokend_client.client import Client
from tokend_client.errors import Closed
from tokend_client.model import Token, TokenRequest
from tokend_client.turns import REFRESHES_AT_A_TIME

_LOG = logging.getLogger("tokend_client.agent")

_Files = tuple[bytes | None, ...]


class ConnectionProblem(Exception):
    """Raised when no client can be made.

    Attributes:
        problems: A text for each setting at fault.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Connection:
    """A client of tokend for all threads, and another one when certificates have changed: gRPC reads them once.

    Args:
        service: Where tokend is, and how to speak to it.

    Raises:
        ConnectionProblem: A file cannot be read, or is not what it has to be.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._is_closed = False
        self._turns = threading.BoundedSemaphore(REFRESHES_AT_A_TIME)
        self._content = _content(service)
        self._client = _client(service, self._content)
        #: The one before, whose calls end by themselves.
        self._former: Client | None = None

    def get_token(self, request: TokenRequest) -> Token:
        """Calls tokend.

        Raises:
            TokendError: The call failed.
        """
        with self._turns:
            return self._current().get_token(request, timeout=self._service.timeout_seconds)

    def use(self, service: Service) -> None:
        """Calls by other settings from now on; calls that run end by themselves.

        Raises:
            ConnectionProblem: There can be no connection by them, so that calls go on by those of before.
        """
        content = _content(service)
        client = _client(service, content)
        with self._lock:
            self._service = service
            self._replace(client, content)

    def close(self) -> None:
        """Ends the calls that run, and those to come."""
        with self._lock:
            self._is_closed = True
            for client in filter(None, (self._former, self._client)):
                client.close()

    def _current(self) -> Client:
        with self._lock:
            if self._is_closed:
                raise Closed
            try:
                content = _content(self._service)
                if content != self._content:
                    self._replace(_client(self._service, content), content)
                    _LOG.info("Certificates have changed; calling tokend with those of now")
            except ConnectionProblem as problem:
                # Such as a certificate whose key follows in a moment.
                _LOG.warning("Going on with the certificates of before: %s", problem)
            return self._client

    def _replace(self, client: Client, content: _Files) -> None:
        if self._former is not None:
            self._former.close()
        self._former, self._client, self._content = self._client, client, content


def check(service: Service) -> None:
    """Makes sure that there can be a connection.

    Raises:
        ConnectionProblem: There cannot.
    """
    Connection(service).close()


def _content(service: Service) -> _Files:
    """What the files of certificates hold."""
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


def _client(service: Service, content: _Files) -> Client:
    if problems := [*_pem_problems(service, content)]:
        raise ConnectionProblem(*problems)
    ca, certificate, key = content
    try:
        credentials = None if service.plaintext else tls_credentials(ca, key, certificate)
    except ValueError as error:
        # The files were looked at again since their content was read.
        raise ConnectionProblem(f"tokend: files that are just being written: {error}") from None
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
            "tokend.bearer_token_file: is not sent to another machine in plaintext: leave out plaintext = true"
        ) from None


def _pem_problems(service: Service, content: _Files) -> Iterator[str]:
    # gRPC would only say, when it connects, that it cannot.
    ca = content[0]
    if ca is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=ca.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError):
            yield "tokend.ca_file: holds no PEM certificate"
    if service.client_certificate_file is not None:
        try:
            # The password keeps OpenSSL from asking for one.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
                service.client_certificate_file, service.client_key_file, password=""
            )
        except (ssl.SSLError, OSError):
            yield "tokend.client_certificate_file, client_key_file: are not a PEM certificate and its unencrypted key"

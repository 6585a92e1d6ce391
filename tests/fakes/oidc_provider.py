"""An OpenID Connect provider on the loopback interface: discovery, keys and ID tokens, with configurable faults."""

import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

DISCOVERY_PATH = "/.well-known/openid-configuration"
JWKS_PATH = "/jwks"

_REGISTRY = jws.JWSRegistry(
    algorithms=["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512"], strict_check_header=False
)


class Fault(Enum):
    """Faults of the JWK Set's response, or of the discovery document's if the name says so."""

    NONE = auto()
    STATUS_500 = auto()
    HANG = auto()
    REDIRECT = auto()
    GARBAGE = auto()
    NO_OBJECT = auto()
    HUGE = auto()
    EMPTY_KEYS = auto()
    DISCOVERY_OF_OTHER_ISSUER = auto()
    DISCOVERY_OF_INSECURE_KEYS = auto()
    DISCOVERY_WITHOUT_KEYS = auto()


@cache
def rsa_key(_name: str) -> RSAKey:
    """Returns a key of 2048 bits, the same for the same name."""
    return RSAKey.generate_key(2048)


@cache
def ec_key(curve: str) -> ECKey:
    return ECKey.generate_key(curve)


def jwk(key: RSAKey | ECKey, **parameters: str) -> dict[str, Any]:
    """Returns the public JWK of a key with parameters such as `kid`, `alg` and `use`."""
    return {**key.as_dict(private=False), **parameters}


def sign(header: Mapping[str, Any], claims: Mapping[str, Any] | bytes, key: RSAKey | ECKey) -> str:
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact(dict(header), payload, key, registry=_REGISTRY)


@dataclass
class OidcProvider:
    """A provider that serves while the context manager is active.

    Attributes:
        jwks: The published JWKs; replace the list to rotate keys.
        fault: The current fault.
        fetches: The number of requests by path.
        jwks_uri: Replaces its own URL of the keys in the discovery document.
        provisional: The informational responses that precede each response.
        hanging: Set once a request hangs.
        released: Set it to release hanging requests.
    """

    jwks: list[Any] = field(default_factory=lambda: [jwk(rsa_key("1"), kid="1", alg="RS256", use="sig")])
    fault: Fault = Fault.NONE
    fetches: Counter[str] = field(default_factory=Counter)
    jwks_uri: str | None = None
    provisional: bytes = b""
    hanging: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops listening, so that connections are refused."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, bytes]:
        self.fetches[path] += 1
        if path == DISCOVERY_PATH:
            return 200, json.dumps(self._configuration()).encode()
        good = json.dumps({"keys": self.jwks}).encode()
        if path != JWKS_PATH:
            return 200, good
        if self.fault is Fault.HANG:
            self.hanging.set()
            self.released.wait()
        return {
            Fault.STATUS_500: (500, good),
            Fault.REDIRECT: (302, good),
            Fault.GARBAGE: (200, b"<html>" + good),
            Fault.NO_OBJECT: (200, json.dumps(self.jwks).encode()),
            Fault.HUGE: (200, good + b" " * (1 << 20)),
            Fault.EMPTY_KEYS: (200, b'{"keys": []}'),
        }.get(self.fault, (200, good))

    def _configuration(self) -> dict[str, str]:
        configuration = {"issuer": self.issuer, "jwks_uri": self.jwks_uri or f"{self.issuer}{JWKS_PATH}"}
        match self.fault:
            case Fault.DISCOVERY_OF_OTHER_ISSUER:
                configuration["issuer"] = "https://other.example"
            case Fault.DISCOVERY_OF_INSECURE_KEYS:
                configuration["jwks_uri"] = "http://keys.example/jwks"
            case Fault.DISCOVERY_WITHOUT_KEYS:
                del configuration["jwks_uri"]
        return configuration


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, provider: OidcProvider) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.provider = provider


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        status, body = self.server.provider.answer(self.path)
        try:
            self.wfile.write(self.server.provider.provisional)
            self.send_response(status)
            self.send_header("location", f"{self.server.provider.issuer}/elsewhere")
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # the client has disconnected

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
        """Logs nothing."""

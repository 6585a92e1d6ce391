"""An OpenID Connect provider on the loopback interface: discovery, keys and ID tokens, with faults to order."""

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
    """What is wrong with the JWK Set's answer, or with the discovery document's where the name says so."""

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
    """A key of 2048 bits, the same for the same name."""
    return RSAKey.generate_key(2048)


@cache
def ec_key(curve: str) -> ECKey:
    return ECKey.generate_key(curve)


def jwk(key: RSAKey | ECKey, **parameters: str) -> dict[str, Any]:
    """The public JWK of a key with parameters such as `kid`, `alg` and `use`."""
    return {**key.as_dict(private=False), **parameters}


def sign(header: Mapping[str, Any], claims: Mapping[str, Any] | bytes, key: RSAKey | ECKey) -> str:
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact(dict(header), payload, key, registry=_REGISTRY)


@dataclass
class OidcProvider:
    """A provider that listens while it is entered as a context manager.

    Attributes:
        jwks: The JWKs that it publishes now; replace the list to rotate keys.
        fault: What it does wrong now.
        fetches: Counts requests by path.
        jwks_uri: What its discovery names instead of its own keys.
        provisional: What it sends before each answer proper.
        hanging: Set once a request hangs.
        released: Set it to let hanging requests go.
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
        """Refuses connections from now on."""
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
            self.close_connection = True  # whoever asked has given up

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
        """Says nothing."""

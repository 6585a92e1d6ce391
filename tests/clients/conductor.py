"""The environment of a run of the conformance cases: the server, its upstreams, and the conductor that controls them.

The conductor accepts POST requests on the loopback interface, one at a time, and responds when the action is done:
/stop stops the server, /start starts it again, /rotate makes it sign with new keys, /release waits for a hanging call
and releases it, /hang suspends one of the two replicas, /reset restores the normal state. /sign returns a token of the
login provider in tokend's format, with the changes in the request's body.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jwt
from jwt.utils import base64url_encode
from tests.clients.cases import CASES
from tests.clients.pools import POOL_IDS, PROVIDER, Gate, upstream_engines
from tests.clients.replicas import Replicas
from tests.clients.scripted import POOL_IDS as SCRIPTED_POOL_IDS
from tests.clients.scripted import ScriptedServer
from tests.clients.served import Served
from tests.fakes.cognito_upstream import CognitoUpstream
from tests.fakes.oidc_provider import OidcProvider, rsa_key, sign

from tokend_server.clock import SystemClock

#: A public provider that responds, and two that do not.
LOGIN_PROVIDER = "id.example.test"
LOGIN_PROVIDERS_DOWN = ("down.example.test", "also-down.example.test")

_TOKEN_LIFE = 3600


@dataclass(frozen=True)
class Harness:
    """The environment of a runner of the cases.

    Attributes:
        endpoint: HOST:PORT of the server, without TLS.
        scripted: The same for the scripted server.
        replicas: The same for both replicas.
        conductor: The conductor's URL.
        cases: The directory of the cases.
        issuer: The issuer of the server's tokens.
        variables: The variables of the cases' texts.
    """

    endpoint: str
    scripted: str
    replicas: Sequence[str]
    conductor: str
    cases: Path
    issuer: str
    variables: Mapping[str, str]

    @property
    def case_names(self) -> list[str]:
        """The names of the cases, in order."""
        return sorted(path.stem for path in self.cases.glob("*.json"))

    @property
    def environment(self) -> dict[str, str]:
        """Returns the variables of a runner's process: those of this one, and its environment."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith("TOKEND_")}
        return outside | {
            "TOKEND_ENDPOINT": self.endpoint,
            "TOKEND_SCRIPTED": self.scripted,
            "TOKEND_REPLICAS": ",".join(self.replicas),
            "TOKEND_CONDUCTOR": self.conductor,
            "TOKEND_CASES": str(self.cases),
            "TOKEND_ISSUER": self.issuer,
            "TOKEND_VARIABLES": json.dumps(dict(self.variables)),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }


class Conductor:
    """Serves while the context manager is active."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._undo = ExitStack()
        self._gate = Gate()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            upstream = undo.enter_context(
                CognitoUpstream(engines=upstream_engines(SystemClock(), self._gate), signature_clock=SystemClock())
            )
            undo.callback(self._gate.release)
            provider = undo.enter_context(OidcProvider())
            closed = undo.enter_context(_closed_port())
            down = f"http://127.0.0.1:{closed.getsockname()[1]}"
            providers = {LOGIN_PROVIDER: provider.issuer, **dict.fromkeys(LOGIN_PROVIDERS_DOWN, down)}
            self._served = Served(self._directory, upstream.url, providers)
            undo.callback(self._served.stop)
            undo.callback(self._gate.release)
            self._served.start()
            scripted = undo.enter_context(ScriptedServer())
            self._replicas = undo.enter_context(Replicas(self._directory))
            http = _HttpServer(
                {
                    "/release": self._release,
                    "/reset": self._reset,
                    "/stop": self._served.stop,
                    "/start": self._served.start_again,
                    "/rotate": self._served.rotate,
                    "/hang": self._replicas.hang,
                },
                {"/sign": partial(_signed, provider.issuer)},
            )
            undo.callback(http.stop)
            self.harness = Harness(
                self._served.endpoint,
                scripted.endpoint,
                self._replicas.endpoints,
                http.url,
                CASES,
                self._served.issuer,
                _variables(self._served.issuer, provider.issuer, down),
            )
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def _release(self) -> None:
        self._gate.wait_for_arrival()
        self._gate.release()

    def _reset(self) -> None:
        self._gate.release()
        self._replicas.resume()
        self._served.start()


def _variables(issuer: str, provider: str, provider_down: str) -> dict[str, str]:
    return {
        **POOL_IDS,
        **SCRIPTED_POOL_IDS,
        "issuer": issuer,
        "developer_provider_name": PROVIDER,
        "login_provider": LOGIN_PROVIDER,
        "login_issuer": provider,
        "login_provider_down": LOGIN_PROVIDERS_DOWN[0],
        "other_login_provider_down": LOGIN_PROVIDERS_DOWN[1],
        "id_token_of_anna": _id_token(provider, "anna", _TOKEN_LIFE),
        "id_token_of_bert": _id_token(provider, "bert", _TOKEN_LIFE),
        "expired_id_token": _id_token(provider, "anna", -_TOKEN_LIFE),
        "unverifiable_id_token": _id_token(provider_down, "anna", _TOKEN_LIFE),
    }


def _id_token(issuer: str, subject: str, seconds: int) -> str:
    now = int(time.time())
    claims = {"iss": issuer, "aud": "portal", "sub": subject, "iat": min(now, now + seconds), "exp": now + seconds}
    return sign({"alg": "RS256", "kid": "1"}, claims, rsa_key("1"))


def _signed(issuer: str, body: bytes) -> str:
    """Returns a valid token with the changes in the body, which has the members of a step `judge`.

    `claims` and `header` replace or add members, `from_now` sets claims to this many seconds from now, `without`
    removes claims and members of the header, and `after` is appended to the signature.
    """
    changes = json.loads(body)
    now = int(time.time())
    claims = {
        "sub": "us-east-1:6b1f0c52-7f5e-4a63-9c0d-3f1d2b9a8e47",
        "aud": POOL_IDS["pool"],
        "amr": ["authenticated", PROVIDER, f"{PROVIDER}:{POOL_IDS['pool']}:alice"],
        "iss": issuer,
        "exp": now + _TOKEN_LIFE,
        "iat": now,
        **{name: now + seconds for name, seconds in changes.get("from_now", {}).items()},
        **changes.get("claims", {}),
    }
    header = {"alg": "RS256", "kid": "1", "typ": "JWS", **changes.get("header", {})}
    without = changes.get("without", [])
    header, claims = ({name: part[name] for name in part.keys() - set(without)} for part in (header, claims))
    # By hand: libraries do not sign invalid headers.
    signed = ".".join(base64url_encode(json.dumps(part).encode()).decode() for part in (header, claims))
    algorithm = jwt.get_algorithm_by_name(header["alg"])
    signature = base64url_encode(algorithm.sign(signed.encode(), _private_key(algorithm))).decode()
    return f"{signed}.{signature}{changes.get('after', '')}"


@cache
def _private_key(algorithm: jwt.algorithms.Algorithm) -> Any:  # noqa: ANN401 - as PyJWT has it
    """Loads the key once per algorithm: OpenSSL checks an RSA key for a tenth of a second."""
    return algorithm.prepare_key(rsa_key("1").as_pem(private=True))


def _closed_port() -> socket.socket:
    """A reserved port that refuses connections."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(
        self, actions: Mapping[str, Callable[[], None]], questions: Mapping[str, Callable[[bytes], str]]
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.questions = {path: partial(_done, act) for path, act in actions.items()} | dict(questions)
        self.acting = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def _done(act: Callable[[], None], _body: bytes) -> str:
    act()
    return "done"


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer

    def do_POST(self) -> None:
        answer = self.server.questions.get(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if answer is None:
            self._answer(404, f"no such action: {self.path}")
            return
        with self.server.acting:
            try:
                text = answer(body)
            except Exception as error:  # noqa: BLE001 - whoever asked has to hear of it
                self._answer(500, repr(error))
            else:
                self._answer(200, text)

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
        """Logs nothing."""

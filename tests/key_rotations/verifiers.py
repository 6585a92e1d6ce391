"""The verifiers of a run, each with its users' settings, except for how long it caches keys."""

import json
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import jwt
from tests.envoy.examples import Envoy, example
from tests.key_rotations.scale import Scale
from tests.support.go_program import go_program
from tests.support.java_program import java_program
from tests.support.server_process import POOL_ID

SOURCES = Path(__file__).parents[1] / "verifiers"

#: Returns the reason of each token's rejection; empty for an accepted token.
Verify: TypeAlias = Callable[[Sequence[str]], Sequence[str]]


class _App(BaseHTTPRequestHandler):
    """The application behind Envoy."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
        """Logs nothing."""


@contextmanager
def _pyjwt(issuer: str, scale: Scale, _directory: Path) -> Iterator[Verify]:
    keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json", lifespan=scale.cache)

    def why_rejected(token: str) -> str:
        try:
            key = keys.get_signing_key_from_jwt(token)
            # Its grace for clocks is none by default.
            jwt.decode(token, key, algorithms=["ES256"], issuer=issuer, audience=POOL_ID, leeway=scale.skew)
        except jwt.PyJWTError as error:
            return repr(error)
        return ""

    yield lambda tokens: [why_rejected(token) for token in tokens]


@contextmanager
def _envoy(issuer: str, scale: Scale, directory: Path) -> Iterator[Verify]:
    address = issuer.removeprefix("http://")
    with ExitStack() as undo:
        app = undo.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _App))
        app.daemon_threads = True
        thread = threading.Thread(target=app.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        undo.callback(thread.join)
        undo.callback(app.shutdown)
        values = {
            "127.0.0.1:8080": address,
            "port_value: 8080": f"port_value: {address.partition(':')[2]}",
            "eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f": POOL_ID,
            "port_value: 10000": "port_value: 0",
            "port_value: 3000": f"port_value: {app.server_port}",
            "cache_duration: 300s": f"cache_duration: {scale.cache}s",
        }
        envoy = undo.enter_context(Envoy(example("jwt_authn.yaml", values), directory))
        # httpx would take most of the test's CPU time.
        connection = undo.enter_context(closing(HTTPConnection(envoy.address, timeout=30)))

        def why_rejected(token: str) -> str:
            connection.request("GET", "/", headers={"authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            text = answer.read().decode()
            return "" if answer.status == HTTPStatus.OK else f"{answer.status}: {text}"

        yield lambda tokens: [why_rejected(token) for token in tokens]


@contextmanager
def _go_oidc(issuer: str, _scale: Scale, directory: Path) -> Iterator[Verify]:
    program = go_program(directory / "go-verifier", SOURCES / "go", "go-oidc")
    with _verifier([str(program)], directory, "go-oidc", {"issuer": issuer}) as verify:
        yield verify


@contextmanager
def _nimbus(issuer: str, scale: Scale, directory: Path) -> Iterator[Verify]:
    question = {"issuer": issuer, "cacheSeconds": scale.cache, "verifiers": ["Nimbus"]}
    with _verifier(java_program(SOURCES / "java", "verifier.Main", "Nimbus"), directory, "Nimbus", question) as verify:
        yield verify


@contextmanager
def _verifier(command: list[str], directory: Path, name: str, question: Mapping[str, Any]) -> Iterator[Verify]:
    """Runs a program that responds to each line with a line."""
    process = subprocess.Popen(command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdin
    assert process.stdout
    stdin, stdout = process.stdin, process.stdout

    def verify(tokens: Sequence[str]) -> Sequence[str]:
        named = {f"{number}": {"audience": POOL_ID, "token": token} for number, token in enumerate(tokens)}
        stdin.write(json.dumps({**question, "tokens": named}) + "\n")
        stdin.flush()
        verdicts = json.loads(stdout.readline())[name]
        return [verdicts[number] for number in named]

    try:
        yield verify
    finally:
        stdin.close()
        stdout.read()
        process.wait(30)
        stdout.close()


#: Each verifier's setup for an issuer, by its name.
VERIFIERS: Mapping[str, Callable[[str, Scale, Path], AbstractContextManager[Verify]]] = {
    "Envoy": _envoy,
    "go-oidc": _go_oidc,
    "Nimbus": _nimbus,
    "PyJWT": _pyjwt,
}


@contextmanager
def verifiers(names: Collection[str], issuer: str, scale: Scale, directory: Path) -> Iterator[Mapping[str, Verify]]:
    """Starts some of them; the test is skipped if a toolchain is missing."""
    with ExitStack() as undo:
        yield {name: undo.enter_context(VERIFIERS[name](issuer, scale, directory)) for name in names}

"""SPIRE's server (https://spiffe.io) as a peer, built once per machine from its Go module.

The call is `MintJWTSVID` of its server API, over its unix socket: a JWT-SVID for the identity and the audience in the
call, signed in the process. It reads no registration entry.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import jwt
from tests.bench.generator import Call
from tests.bench.messages import GRPC_HEADERS, length_prefixed, user
from tests.bench.processes import Cores, running, wait_until
from tests.support.machine_cache import cached_program
from tests.support.ports import free_port

VERSION = "v1.13.3"

_PACKAGES = "github.com/spiffe/spire/cmd"
_METHOD = "/spire.api.server.svid.v1.SVID/MintJWTSVID"
_TRUST_DOMAIN, _AUDIENCE = "bench.example", "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"

#: The `jwt_key_type` for each algorithm.
KEY_TYPES = {"RS256": "rsa-2048", "ES256": "ec-p256"}

_TOKEN = re.compile(rb"[\w-]+\.[\w-]+\.[\w-]+")


def build(name: str = "spire-server") -> Path:
    """Builds a program of SPIRE; without any cache it takes ten minutes of CPU.

    Raises:
        RuntimeError: Go is not installed, or the build fails.
    """
    return cached_program(f"{name}-{VERSION}", name, lambda directory: _build(f"{_PACKAGES}/{name}", directory))


def _build(package: str, directory: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise RuntimeError("SPIRE is built with Go (https://go.dev/dl), and there is none.")
    with TemporaryDirectory() as module:
        # `go install` asks for the list of all versions, which not every module proxy has.
        _run([go, "mod", "init", "peer"], module)
        _run([go, "get", f"{package}@{VERSION}"], module)
        _run([go, "build", "-ldflags=-s -w", "-o", str(directory), package], module)


def _run(command: Sequence[str], directory: str) -> None:
    done = subprocess.run(command, cwd=directory, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"SPIRE {VERSION} does not build:\n{done.stderr[-2000:]}")


@contextmanager
def serving(directory: Path, cores: Cores, program: Path, algorithm: str) -> Iterator[tuple[int, Call]]:
    """Serves, and yields the process id and the call; its own rate limits do not apply to it."""
    data = directory / f"spire-{algorithm}"
    data.mkdir()
    socket, config, log = data / "api.sock", data / "server.conf", data / "server.log"
    config.write_text(_config(data, socket, KEY_TYPES[algorithm]))
    command = ["env", "GOMAXPROCS=1", str(program), "run", "-config", str(config)]
    with running(command, cores, log) as process:
        wait_until(lambda: _healthy(program, socket), process, log)
        answer = _answer(socket, algorithm, _keys(program, socket))
        call = Call(
            url=f"http://spire.invalid{_METHOD}",
            headers=GRPC_HEADERS,
            body=length_prefixed(_request(user())),
            answer_bytes=len(length_prefixed(answer)),
            unix_socket=socket,
        )
        yield process.pid, call


def _config(data: Path, socket: Path, key_type: str) -> str:
    return f"""
        server {{
            bind_address = "127.0.0.1"
            bind_port = "{free_port()}"
            socket_path = "{socket}"
            trust_domain = "{_TRUST_DOMAIN}"
            data_dir = "{data}"
            log_level = "WARN"
            jwt_key_type = "{key_type}"
            jwt_issuer = "https://issuer.bench.example"
        }}
        plugins {{
            DataStore "sql" {{
                plugin_data {{
                    database_type = "sqlite3"
                    connection_string = "{data}/datastore.sqlite3"
                }}
            }}
            NodeAttestor "join_token" {{ plugin_data {{}} }}
            KeyManager "memory" {{ plugin_data {{}} }}
        }}
        """


def _request(path: str) -> bytes:
    """Returns a serialized `MintJWTSVIDRequest` (spire-api-sdk, proto/spire/api/server/svid/v1/svid.proto)."""
    identity = _field(1, _TRUST_DOMAIN.encode()) + _field(2, f"/{path}".encode())
    return _field(1, identity) + _field(2, _AUDIENCE.encode())


def _field(number: int, value: bytes) -> bytes:
    """Returns a length-delimited field of less than 128 bytes (Protocol Buffers, "Encoding")."""
    return bytes([number << 3 | 2, len(value)]) + value


def _healthy(program: Path, socket: Path) -> bool:
    command = [str(program), "healthcheck", "-socketPath", str(socket)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _keys(program: Path, socket: Path) -> jwt.PyJWKSet:
    command = [str(program), "bundle", "show", "-format", "spiffe", "-socketPath", str(socket)]
    keys: list[dict[str, str]] = json.loads(subprocess.check_output(command))["keys"]
    return jwt.PyJWKSet([key for key in keys if key["use"] == "jwt-svid"])


def _answer(socket: Path, algorithm: str, keys: jwt.PyJWKSet) -> bytes:
    """Returns a serialized response, after verifying its token with the keys of the server's bundle.

    Raises:
        RuntimeError: The token is not the requested one.
    """
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            _METHOD, request_serializer=None, response_deserializer=None
        )
        answer: bytes = call(_request(user(0)), timeout=10)
    found = _TOKEN.search(answer)
    if found is None:
        raise RuntimeError("SPIRE gave no token")
    token = found.group().decode()
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=[algorithm], audience=_AUDIENCE, leeway=5)
    if claims["sub"] != f"spiffe://{_TRUST_DOMAIN}/{user(0)}":
        raise RuntimeError("SPIRE's token speaks for another identity.")
    return answer

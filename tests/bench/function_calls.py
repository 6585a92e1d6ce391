"""The number of Python functions that a warm call calls: `python -m tests.bench.function_calls [CASE] [--list]`.

The cost of a call beyond its signature is nearly all Python, and a count of functions does not depend on the load of
the machine. Only the threads of the gRPC server count: those that poll for events and those that handle calls.
"""

import argparse
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType
from typing import TypeAlias

import grpc
from tests.bench.checks import mutual_settings, tables_of_checks, tls_settings, write_files
from tests.bench.floor import handlers
from tests.bench.messages import PROVIDER, grpc_request, user
from tests.bench.serve_tokend import POOLS
from tests.support.checks import CHECK, check_request, read_answer

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityResponse
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server import app
from tokend_server.config import load_config

ALGORITHM = "ES256"

#: A listener without checks, the same with a new user in each call, one with mutual TLS, policy, limits and audit log,
#: the same asked by Envoy for a token that is given out again, and the benchmark's floor.
CASES = PLAIN, NEW, CHECKED, EXT_AUTHZ, FLOOR = "plain", "new", "checked", "ext_authz", "floor"

#: The cases of a server without TLS.
_WITHOUT_CHECKS = (PLAIN, NEW)

#: Batches, of which the lowest count is used, and calls per batch: a waiting thread calls some more functions.
BATCHES, CALLS = 3, 50

#: A mapping as most are: a user and a tag from a token that the mesh has verified.
_MAPPING = f"""
[ext_authz.mappings.web]
identity_pool_id = "{POOLS[ALGORITHM]}"
user = {{ metadata = "payload.sub" }}
principal_tags = {{ tenant = {{ metadata = "payload.tenant" }} }}
"""

#: Makes one call, and returns when it is answered.
MakeCall: TypeAlias = Callable[[], object]

_OPTIONS = [("grpc.enable_http_proxy", 0)]

#: How gRPC names the threads that take events, and tokend those that work on calls.
_SERVING, _WORKING = "(_serve)", "grpc-"


class FunctionCalls:
    """Counts calls of Python functions in threads that start after it."""

    def __init__(self) -> None:
        self._by_thread: dict[int, Counter[CodeType]] = {}
        threading.setprofile(self._count)

    def clear(self) -> None:
        """Resets the counts."""
        for counted in self._by_thread.copy().values():
            counted.clear()

    def of_server(self) -> Counter[str]:
        """Returns the functions that the threads of the gRPC server have called, by file and name."""
        found: Counter[str] = Counter()
        for thread in threading.enumerate():
            if thread.ident in self._by_thread and (_SERVING in thread.name or thread.name.startswith(_WORKING)):
                for code, count in self._by_thread[thread.ident].copy().items():
                    found[f"{code.co_filename}:{code.co_qualname}"] += count
        return found

    def _count(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            self._by_thread.setdefault(threading.get_ident(), Counter())[frame.f_code] += 1


def measured(case: str) -> Counter[str]:
    """Returns the functions of `CALLS` warm calls.

    Args:
        case: One of `CASES`.
    """
    calls = FunctionCalls()
    with TemporaryDirectory() as directory, _floor() if case == FLOOR else _tokend(Path(directory), case) as call:
        batches = []
        for _ in range(BATCHES + 1):
            calls.clear()
            for _ in range(CALLS):
                call()
            batches.append(calls.of_server())
    return min(batches[1:], key=Counter.total)


@contextmanager
def _floor() -> Iterator[MakeCall]:
    """Starts the benchmark's floor in this process, and returns a function that calls it."""
    answer = GetOpenIdTokenForDeveloperIdentityResponse(token="a.b.c").SerializeToString()
    server = grpc.server(ThreadPoolExecutor(thread_name_prefix=_WORKING))
    server.add_generic_rpc_handlers([handlers(ALGORITHM, answer)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}", _OPTIONS) as channel:
        yield _issuing(channel)
    server.stop(None).wait()


@contextmanager
def _tokend(directory: Path, case: str) -> Iterator[MakeCall]:
    """Starts a server in this process, and returns a function that calls it."""
    files = {} if case in _WITHOUT_CHECKS else write_files(directory)
    config = directory / "tokend.toml"
    config.write_text(
        f"""
        issuer = {{ listen = "127.0.0.1:0" }}
        ops = {{ listen = "127.0.0.1:0" }}
        store = {{ url = "sqlite:///{directory}/tokend.db" }}
        [grpc]
        listen = ["127.0.0.1:0"]
        drain_delay_seconds = 0
        {tls_settings(files) + mutual_settings(files) if files else ""}
        [pools."{POOLS[ALGORITHM]}"]
        developer_provider_name = "{PROVIDER}"
        signing_algorithm = "{ALGORITHM}"
        {tables_of_checks(directory, [POOLS[ALGORITHM]]) if files else ""}
        {_MAPPING if case == EXT_AUTHZ else ""}
        """,
        encoding="utf-8",
    )
    with ExitStack() as undo:
        service = app.start(load_config(config))
        undo.callback(service.stop)
        address = service.grpc_addresses[0]
        if files:
            contents = (files[name].read_bytes() for name in ("ca.crt", "client.key", "client.crt"))
            channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(*contents), _OPTIONS)
        else:
            channel = grpc.insecure_channel(address, _OPTIONS)
        yield _MAKE_CALLS.get(case, _issuing)(undo.enter_context(channel))


def _issuing(channel: grpc.Channel) -> MakeCall:
    request = grpc_request(POOLS[ALGORITHM], user(0))
    call = DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity
    return lambda: call(request, timeout=30)


def _registering(channel: grpc.Channel) -> MakeCall:
    users = count()
    call = DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity
    return lambda: call(grpc_request(POOLS[ALGORITHM], user(next(users))), timeout=30)


def _asking(channel: grpc.Channel) -> MakeCall:
    request = check_request("web", {"sub": "alice", "tenant": "acme"}).SerializeToString()
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK, None, None)

    def ask() -> None:
        assert read_answer(call(request, timeout=30)).status is None, "no token"

    return ask


#: What makes the calls of a case; of the others, those of a known user.
_MAKE_CALLS: Mapping[str, Callable[[grpc.Channel], MakeCall]] = {NEW: _registering, EXT_AUTHZ: _asking}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.function_calls", description="Count function calls.")
    parser.add_argument("case", nargs="?", choices=CASES, default=PLAIN)
    parser.add_argument("--list", action="store_true", help="print each function, the most frequent first")
    chosen = parser.parse_args()
    found = measured(chosen.case)
    if chosen.list:
        for function, count in found.most_common():
            sys.stdout.write(f"{count / CALLS:8.2f} {function}\n")
    sys.stdout.write(f"{found.total() / CALLS:.1f}\n")


if __name__ == "__main__":
    main()

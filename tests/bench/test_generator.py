import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from tests.bench.generator import Call, Generator, build
from tests.bench.messages import GRPC_HEADERS, METHOD, PROVIDER, SERVICE, grpc_body, length_prefixed, user

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityRequest

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="the load generator is built with Go")

POOL = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
ANSWER = b"an answer"
KNOWN_USERS = 50


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("load"))


@pytest.fixture
def generator(binary: Path, tmp_path: Path) -> Generator:
    return Generator(binary, tmp_path, KNOWN_USERS)


class Server:
    """A gRPC server that records the users it is called for, and responds or refuses."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.code = grpc.StatusCode.OK
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._answer)
        self.server = grpc.server(ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})])
        port = self.server.add_insecure_port("127.0.0.1:0")
        url = f"http://127.0.0.1:{port}/{SERVICE}/{METHOD}"
        self.call = Call(url, GRPC_HEADERS, grpc_body(POOL), len(length_prefixed(ANSWER)))

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.users.append(GetOpenIdTokenForDeveloperIdentityRequest.FromString(request).logins[PROVIDER])
        context.set_code(self.code)
        return ANSWER


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.server.start()
    yield server
    server.server.stop(grace=None).wait()


def test_known_users_are_called_at_random(server: Server, generator: Generator) -> None:
    sample = generator.sample(server.call, os.getpid(), 0.5)
    assert sample.calls == len(server.users)
    assert sample.calls_per_second > 0
    assert 0 < sample.p50_milliseconds <= sample.p99_milliseconds
    assert sample.server_cpu_microseconds > 0
    assert set(server.users) <= {user(number) for number in range(KNOWN_USERS)}
    assert len(set(server.users)) > 10


def test_a_new_user_is_called_once_in_all_runs(server: Server, generator: Generator) -> None:
    call = replace(server.call, new_users=True)
    calls = sum(generator.sample(call, os.getpid(), 0.2).calls for _ in range(2))
    assert Counter(server.users) == Counter(user(KNOWN_USERS + number) for number in range(calls))


def test_a_refused_call_stops_the_benchmark(server: Server, generator: Generator) -> None:
    server.code = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(RuntimeError, match='grpc-status "14"'):
        generator.sample(server.call, os.getpid(), 0.1)


def test_an_unknown_method_stops_the_benchmark(server: Server, generator: Generator) -> None:
    with pytest.raises(RuntimeError, match='grpc-status "12"'):
        generator.sample(replace(server.call, url=server.call.url + "s"), os.getpid(), 0.1)


@pytest.mark.parametrize(("more", "varying"), [(1, 0), (-1, 0), (7, 6), (-1, 6)])
def test_an_answer_of_another_size_stops_the_benchmark(
    server: Server, generator: Generator, more: int, varying: int
) -> None:
    size = server.call.answer_bytes
    call = replace(server.call, answer_bytes=size + more, varying_bytes=varying)
    with pytest.raises(RuntimeError, match=f"answered with {size} to {size} bytes"):
        generator.sample(call, os.getpid(), 0.1)


def test_response_sizes_may_vary_by_the_size_of_their_timestamps(server: Server, generator: Generator) -> None:
    size = server.call.answer_bytes
    assert generator.sample(replace(server.call, answer_bytes=size + 6, varying_bytes=6), os.getpid(), 0.1).calls


def test_an_unreachable_server_stops_the_benchmark(server: Server, generator: Generator) -> None:
    server.server.stop(grace=None).wait()
    with pytest.raises(RuntimeError, match="cannot connect"):
        generator.sample(server.call, os.getpid(), 0.1)


def test_the_rate_of_calls_is_kept(server: Server, generator: Generator) -> None:
    seconds, rate = 1.0, 40.0
    sample = generator.sample(replace(server.call, calls_per_second=rate), os.getpid(), seconds)
    assert sample.calls == seconds * rate

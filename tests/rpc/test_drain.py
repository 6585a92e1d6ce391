"""The shutdown of a server: announced in advance, and not before the calls in flight have ended."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from tests.fakes.scripted_engine import IDENTITY_ID
from tests.support.grpc_service import TIMEOUT, GrpcService, failure, insecure_channel
from tests.support.health import NOT_SERVING, SERVING, check_health, wait_for, watch_health
from tests.support.server_process import ServerProcess, write_config

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityRequest
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def turned_away(channel: grpc.Channel) -> threading.Event:
    """Returns an event that is set when the server has sent a GOAWAY on the channel's connection."""
    gone = threading.Event()
    ready = threading.Event()

    def follow(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.READY:
            ready.set()
        elif ready.is_set():
            gone.set()

    channel.subscribe(follow)
    assert ready.wait(TIMEOUT)
    return gone


def test_a_call_in_flight_finishes(service: GrpcService, thread: ThreadPoolExecutor) -> None:
    with service.engine.holding() as hold:
        call = service.begin("MergeDeveloperIdentities")
        assert hold.entered.wait(TIMEOUT)
        gone = turned_away(service.channel)
        stopped = thread.submit(service.server.stop, TIMEOUT)
        assert gone.wait(TIMEOUT)
        with insecure_channel(service.address) as late:
            assert failure(lambda: check_health(late)).code is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(TimeoutError):  # it waits for the call
            stopped.result(0.5)
        hold.release.set()
        assert getattr(call.result(TIMEOUT), "identity_id") == IDENTITY_ID  # noqa: B009 - a Message to mypy
        stopped.result(TIMEOUT)


def test_a_call_that_takes_too_long_is_ended(service: GrpcService, thread: ThreadPoolExecutor) -> None:
    with service.engine.holding() as hold:
        call = service.begin("MergeDeveloperIdentities")
        assert hold.entered.wait(TIMEOUT)
        stopped = thread.submit(service.server.stop, 0.1)
        assert failure(call.result).code in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
        hold.release.set()
        stopped.result(TIMEOUT)


def test_an_open_watch_does_not_delay_the_shutdown(service: GrpcService, thread: ThreadPoolExecutor) -> None:
    service.server.set_serving(True)
    watch = watch_health(service.channel)
    wait_for(watch, SERVING)
    thread.submit(service.server.stop, 10 * TIMEOUT).result(TIMEOUT)
    assert list(watch) == []


def test_sigterm_is_announced_and_calls_still_succeed(tmp_path: Path) -> None:
    config, environment = write_config(tmp_path), {"TOKEND_GRPC_DRAIN_DELAY_SECONDS": "2"}
    with ServerProcess(config, environment) as server, insecure_channel(server.endpoint) as channel:
        request = GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "alice"}
        )
        stub = DeveloperIdentityServiceStub(channel)
        before = stub.GetOpenIdTokenForDeveloperIdentity(request, timeout=TIMEOUT)
        watch = watch_health(channel)
        wait_for(watch, SERVING)
        server.terminate()
        wait_for(watch, NOT_SERVING)
        after = stub.GetOpenIdTokenForDeveloperIdentity(request, timeout=TIMEOUT)
        assert after.identity_id == before.identity_id
        assert server.wait() == 0
        assert failure(lambda: check_health(channel)).code is grpc.StatusCode.UNAVAILABLE

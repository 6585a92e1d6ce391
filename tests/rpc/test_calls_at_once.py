"""The limit of concurrent calls: places are released, and no connection gets all of them."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from tests.support import raw_http2
from tests.support.grpc_service import METHODS, POOL_ID, TIMEOUT, GrpcService, failure, grpc_service, insecure_channel
from tests.support.health import check_health, watch_health
from tests.support.silent_calls import SilentCalls

from tokend.v1.developer_identity_service_pb2 import UnlinkDeveloperIdentityRequest
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

if TYPE_CHECKING:
    from google.protobuf.message import Message


def at_most(most: int) -> dict[str, object]:
    return {"limits": {"concurrent_calls": most}}


def refuses(service: GrpcService) -> bool:
    """Returns whether a call is rejected because of the number of calls."""
    return (
        failure(lambda: service.call("LookupDeveloperIdentity"), RetryInfo).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    )


@pytest.mark.parametrize("method", METHODS)
def test_calls_that_fail_make_room(method: str) -> None:
    # A call's place is released right after its response: the next call may arrive before.
    with grpc_service(None, at_most(2)) as service:
        service.engine.failure = KeyError()
        for _ in range(3):
            assert failure(lambda: service.send_bytes(method, b"\xff")).code is grpc.StatusCode.INVALID_ARGUMENT
            with suppress(grpc.RpcError):
                service.call(method)
        service.engine.failure = None
        service.call(method)


def test_cancelled_calls_make_room() -> None:
    with grpc_service(None, at_most(3)) as service:
        for _ in range(5):
            with SilentCalls(service.address, "LookupDeveloperIdentity") as calls:
                for stream in calls.begin(3):
                    calls.cancel(stream)
            while True:  # until the server has noticed it
                with suppress(grpc.RpcError):
                    service.call("LookupDeveloperIdentity")
                    break
        assert len(service.engine.asked) == 5


def test_calls_cancelled_in_the_queue_make_room() -> None:
    with grpc_service(None, at_most(2), threads=1) as service, service.engine.holding() as hold:
        first = service.begin("LookupDeveloperIdentity")
        assert hold.entered.wait(TIMEOUT)
        queued = service.begin("LookupDeveloperIdentity")
        next(watch_health(service.channel))  # what was sent before it has arrived
        assert refuses(service)
        queued.cancel()
        hold.release.set()
        first.result(TIMEOUT)
        while True:
            with suppress(grpc.RpcError):
                service.call("LookupDeveloperIdentity")
                break


@pytest.mark.usefixtures("no_spare_threads")
def test_a_connection_with_many_calls_leaves_another_its_share(tmp_path: Path) -> None:
    with (
        grpc_service(None, at_most(4), threads=1, listen=["127.0.0.1:0", f"unix:{tmp_path}/s"]) as service,
        service.engine.holding() as hold,
        insecure_channel(service.server.addresses[1]) as other,
    ):
        first = service.begin("LookupDeveloperIdentity")
        assert hold.entered.wait(TIMEOUT)
        over: SimpleQueue[grpc.Future[Message]] = SimpleQueue()
        for _ in range(6):
            service.begin("LookupDeveloperIdentity").add_done_callback(over.put)
        for _ in range(3):
            assert over.get(timeout=TIMEOUT).code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
        request = UnlinkDeveloperIdentityRequest(
            identity_pool_id=POOL_ID,
            identity_id=POOL_ID,
            developer_provider_name="login.example.test",
            developer_user_identifier="alice",
        )
        theirs = DeveloperIdentityServiceStub(other).UnlinkDeveloperIdentity.future(request, timeout=TIMEOUT)
        next(watch_health(other))  # what was sent before it has arrived
        hold.release.set()
        first.result(TIMEOUT)
        theirs.result()
        # It has not waited for all earlier calls.
        names = [type(each).__name__ for each in service.engine.requests]
        assert names.index("UnlinkRequest") <= 2


def test_health_watches_do_not_count_as_concurrent_calls() -> None:
    with grpc_service(None, at_most(1)) as service:
        watches = [watch_health(service.channel) for _ in range(3)]
        for watch in watches:
            next(watch)
        service.call("LookupDeveloperIdentity")


def test_the_server_announces_max_concurrent_streams() -> None:
    with grpc_service(max_concurrent_streams=5) as service:
        assert raw_http2.settings(service.address)[raw_http2.MAX_CONCURRENT_STREAMS] == 5


def test_a_client_that_keeps_all_its_streams_busy_has_no_call_refused() -> None:
    # This also detects a release of gRPC that counts calls until it has freed their memory.
    without_retries = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    with (
        grpc_service(max_concurrent_streams=4) as service,
        grpc.insecure_channel(service.address, without_retries) as channel,
        ThreadPoolExecutor(12) as callers,
    ):
        check_health(channel)  # the connection knows its limit
        busy = replace(service, stub=DeveloperIdentityServiceStub(channel))
        for call in [callers.submit(busy.call, "LookupDeveloperIdentity") for _ in range(600)]:
            call.result(TIMEOUT)

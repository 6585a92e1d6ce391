"""Clients that make all kinds of calls, cancel around a call's usual duration, and disconnect during calls."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
from tests.support.calls import Endpoint
from tests.support.grpc_service import insecure_channel
from tests.support.health import check_health, watch_health
from tests.support.silent_calls import SilentCalls

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

#: A client that waits for its answer waits so long.
_TIMEOUT = 30.0

#: Seconds after which the thread of a call without a message is replaced, and some more.
_LATE = 0.3

#: The possible status codes of a call that its client ends early.
_GIVEN_UP = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class Record:
    """The results of all clients.

    Attributes:
        outcomes: The number of calls by result.
        faults: The detected faults.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._identities: dict[str, str] = {}
        self._lock = threading.Lock()

    def is_identity(self, user: str, identity_id: str) -> None:
        """Records a user's identity, which must always be the same."""
        with self._lock:
            if self._identities.setdefault(user, identity_id) != identity_id:
                self.faults["a user has two identities"] += 1

    @contextmanager
    def call(self, name: str, *allowed: grpc.StatusCode) -> Iterator[None]:
        """Counts how the call of the block ends, which may fail with some codes."""
        code = grpc.StatusCode.OK
        try:
            yield
        except grpc.RpcError as error:
            code = error.code()
            if code not in allowed:
                self.count_fault(f"{name}: {code.name}: {error.details()}")
        except grpc.FutureCancelledError:
            code = grpc.StatusCode.CANCELLED
        with self._lock:
            self.outcomes[f"{name}: {code.name}"] += 1

    def count_fault(self, text: str) -> None:
        """Records a fault."""
        with self._lock:
            self.faults[text] += 1


class Client:
    """One client, with one connection at a time.

    Args:
        server: The server to call.
        record: The results of all clients.
        number: Its number, which also seeds its choices.
        users: The number of users.
    """

    def __init__(self, server: Endpoint, record: Record, number: int, users: int) -> None:
        self._server = server
        self._record = record
        self._random = random.Random(number)
        self._number = number
        self._users = users
        self._made = 0
        self._typical = 0.005
        self._connect()

    def run(self, is_over: Callable[[], bool]) -> None:
        """Makes calls until the end of the run."""
        actions = (
            *(self._get,) * 6,
            *(self._get_at_the_edge,) * 6,
            *(self._cancel,) * 3,
            self._look_up,
            self._merge_and_unlink,
            self._reflect,
            self._watch,
            self._check,
            self._disconnect_during_calls,
            self._send_no_messages,
        )
        while not is_over():
            self._random.choice(actions)()
        self._channel.close()

    def _connect(self) -> None:
        self._channel = insecure_channel(self._server.endpoint)
        self._stub = DeveloperIdentityServiceStub(self._channel)

    def _request(self, user: str) -> pb.GetOpenIdTokenForDeveloperIdentityRequest:
        logins = {self._server.developer_provider_name: user}
        return pb.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=self._server.identity_pool_id, logins=logins
        )

    def _user(self) -> str:
        return f"user-{self._random.randrange(self._users)}"

    def _edge(self) -> float:
        """Returns a number of seconds around a call's usual duration."""
        return self._typical * self._random.uniform(0.1, 3)

    def _get(self) -> None:
        user, began = self._user(), time.monotonic()
        with self._record.call("get"):
            answer = self._stub.GetOpenIdTokenForDeveloperIdentity(self._request(user), timeout=_TIMEOUT)
            self._record.is_identity(user, answer.identity_id)
            self._typical += (time.monotonic() - began - self._typical) / 20

    def _get_at_the_edge(self) -> None:
        user = self._user()
        with self._record.call("get at the edge", *_GIVEN_UP):
            answer = self._stub.GetOpenIdTokenForDeveloperIdentity(self._request(user), timeout=self._edge())
            self._record.is_identity(user, answer.identity_id)

    def _cancel(self) -> None:
        calls = [
            self._stub.GetOpenIdTokenForDeveloperIdentity.future(self._request(self._user()), timeout=_TIMEOUT)
            for _ in range(self._random.randrange(1, 6))
        ]
        time.sleep(self._edge())
        for call in calls:
            call.cancel()
            with self._record.call("cancel", *_GIVEN_UP):
                call.result(_TIMEOUT)

    def _look_up(self) -> None:
        request = pb.LookupDeveloperIdentityRequest(
            identity_pool_id=self._server.identity_pool_id, developer_user_identifier=self._user()
        )
        with self._record.call("look up", *_GIVEN_UP, grpc.StatusCode.NOT_FOUND):
            found = self._stub.LookupDeveloperIdentity(request, timeout=self._edge())
            self._record.is_identity(request.developer_user_identifier, found.identity_id)

    def _merge_and_unlink(self) -> None:
        """Merges two users of this client, and unlinks one."""
        self._made += 1
        source, destination = (f"{kind}-{self._number}-{self._made}" for kind in ("source", "destination"))
        pool = self._server.identity_pool_id
        with self._record.call("merge and unlink"):
            for user in (source, destination):
                self._stub.GetOpenIdTokenForDeveloperIdentity(self._request(user), timeout=_TIMEOUT)
            merge = pb.MergeDeveloperIdentitiesRequest(
                identity_pool_id=pool,
                developer_provider_name=self._server.developer_provider_name,
                source_user_identifier=source,
                destination_user_identifier=destination,
            )
            merged = self._stub.MergeDeveloperIdentities(merge, timeout=_TIMEOUT).identity_id
            for user in (source, destination):
                answer = self._stub.GetOpenIdTokenForDeveloperIdentity(self._request(user), timeout=_TIMEOUT)
                if answer.identity_id != merged:
                    self._record.count_fault("a merged user has another identity")
            unlink = pb.UnlinkDeveloperIdentityRequest(
                identity_pool_id=pool,
                identity_id=merged,
                developer_provider_name=self._server.developer_provider_name,
                developer_user_identifier=source,
            )
            self._stub.UnlinkDeveloperIdentity(unlink, timeout=_TIMEOUT)

    def _reflect(self) -> None:
        inquire: grpc.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(_REFLECTION, None, None)
        with self._record.call("reflect", *_GIVEN_UP):
            list(inquire(iter([b"\x3a\x00"] * 2), timeout=2 * self._edge()))

    def _watch(self) -> None:
        with self._record.call("watch"):
            watch = watch_health(self._channel)
            next(watch)
            watch.cancel()

    def _check(self) -> None:
        with self._record.call("check"):
            check_health(self._channel)

    def _disconnect_during_calls(self) -> None:
        """Closes its connection while calls are in flight, and opens another."""
        for _ in range(3):
            self._stub.GetOpenIdTokenForDeveloperIdentity.future(self._request(self._user()), timeout=_TIMEOUT)
        time.sleep(self._edge())
        self._channel.close()
        self._connect()

    def _send_no_messages(self) -> None:
        """Starts calls on a separate connection, and disconnects before it sends their messages."""
        with SilentCalls(self._server.endpoint, "LookupDeveloperIdentity") as calls:
            for stream in calls.begin(self._random.randrange(1, 8)):
                if self._random.random() < 0.5:
                    calls.cancel(stream)
            time.sleep(self._random.choice((self._edge(), _LATE)))

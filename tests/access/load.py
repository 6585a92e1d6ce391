"""Clients that call continually, each in a separate thread."""

import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

import grpc
from tests.support.authority import Identification
from tests.support.grpc_service import TIMEOUT
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

#: How many clients open a channel for each call, and how many reuse theirs.
_BRIEF, _LASTING = 3, 3

_CLIENTS = _BRIEF + _LASTING


class Load:
    """Clients that get tokens over mutual TLS while the context manager is active.

    Args:
        endpoint: The service's address.
        trust: The authority of the service's certificate, in PEM.
        identification: The clients' certificate; assign another one for their next connections.

    Attributes:
        failures: The failures, by code and text.
    """

    def __init__(self, endpoint: str, trust: bytes, identification: Identification) -> None:
        self.identification = identification
        self.failures: list[str] = []
        self._endpoint = endpoint
        self._trust = trust
        self._answered: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        clients = [self._call_briefly] * _BRIEF + [self._call_lastingly] * _LASTING
        self._threads = [threading.Thread(target=client, args=(number,)) for number, client in enumerate(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers(self, count: int) -> None:
        """Waits until every client has received this many more responses."""
        with self._changed:
            wanted = {number: self._answered[number] + count for number in range(_CLIENTS)}
            self._wait(lambda: all(self._answered[number] >= least for number, least in wanted.items()))

    def wait_for_failures(self, count: int) -> None:
        """Waits until this many more calls have failed."""
        with self._changed:
            wanted = len(self.failures) + count
            self._wait(lambda: len(self.failures) >= wanted)

    def _wait(self, condition: Callable[[], bool]) -> None:
        if not self._changed.wait_for(condition, TIMEOUT):
            raise TimeoutError(f"answers: {dict(self._answered)}, failures: {self.failures}")

    def _call_briefly(self, number: int) -> None:
        while not self._stopped.is_set():
            with self._channel(self.identification) as channel:
                self._call(number, channel)

    def _call_lastingly(self, number: int) -> None:
        while not self._stopped.is_set():
            identification = self.identification
            with self._channel(identification) as channel:
                while self.identification is identification and not self._stopped.is_set():
                    self._call(number, channel)

    def _channel(self, identification: Identification) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(self._trust, identification.private_key, identification.certificate)
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        return grpc.secure_channel(self._endpoint, credentials, options)

    def _call(self, number: int, channel: grpc.Channel) -> None:
        request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=POOL_ID, logins={DEVELOPER_PROVIDER: f"load-{number}"}
        )
        stub = DeveloperIdentityServiceStub(channel)
        try:
            stub.GetOpenIdTokenForDeveloperIdentity(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            with self._changed:
                self.failures.append(f"{error.code().name}: {error.details()}")
                self._changed.notify_all()
        else:
            with self._changed:
                self._answered[number] += 1
                self._changed.notify_all()

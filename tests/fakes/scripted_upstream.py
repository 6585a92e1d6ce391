"""An HTTP server on the loopback that handles each request as scripted by a test."""

import json
import socket
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

from tests.fakes.cognito_script import Exchange, Step, Success
from tests.fakes.http_connections import HttpRequest, Listener, read_request

from tokend_server.aws_json.wire import AwsResponse, canonical_headers
from tokend_server.engine import Engine

#: How long a test waits for an expected event.
TIMEOUT = 30


@dataclass(frozen=True)
class Arrived:
    """A received request.

    Attributes:
        operation: The name in `X-Amz-Target`, without the service.
        body: The members of the JSON object; empty if it is not one.
        headers: The headers, by name in lower case.
        connection: The number of the connection, from 1.
    """

    operation: str
    body: dict[str, Any]
    headers: dict[str, str]
    connection: int


class ScriptedUpstream(ABC):
    """Serves while the context manager is active; its exit ends all connections and threads.

    Attributes:
        url: Its URL.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[Arrived] = []
        self._script: deque[Step] = deque()
        self._default: Step = Success()
        self._releases = 0
        self._held = 0
        self._ending = False
        self._listener = Listener(self._serve)
        self.url = f"http://127.0.0.1:{self._listener.port}"

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_listening()

    @property
    def requests(self) -> list[Arrived]:
        """The requests received so far."""
        with self._changed:
            return list(self._requests)

    def script(self, steps: Iterable[Step]) -> None:
        """Sets the steps of the next requests, one each. Later requests have the default step."""
        with self._changed:
            self._script = deque(steps)

    def always(self, step: Step) -> None:
        """Sets the default step, for requests without a script."""
        with self._changed:
            self._script.clear()
            self._default = step

    def wait_for_requests(self, count: int) -> list[Arrived]:
        """Waits for this many requests, and returns all."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= count, TIMEOUT):
                raise TimeoutError(f"{len(self._requests)} of {count} requests have come")
            return list(self._requests)

    def wait_for_held(self, count: int) -> None:
        """Waits until this many connections hang or drip."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._held >= count, TIMEOUT):
                raise TimeoutError(f"{self._held} of {count} connections are held")

    def release(self) -> None:
        """Releases all connections that currently hang or drip."""
        with self._changed:
            self._releases += 1
            self._changed.notify_all()

    def stop_listening(self) -> None:
        """Refuses connections, and ends existing ones."""
        self._set_ending(ending=True)
        self._listener.stop()

    def listen_again(self) -> None:
        """Accepts connections on the same port again."""
        self._set_ending(ending=False)
        self._listener.start_again()

    def stop_accepting(self) -> None:
        """Leaves connection attempts unanswered. Existing connections stay."""
        self._listener.stop_accepting()

    def accept_again(self) -> None:
        """Accepts connections again."""
        self._listener.accept_again()

    def _set_ending(self, *, ending: bool) -> None:
        with self._changed:
            self._ending = ending
            self._changed.notify_all()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(ConnectionError):  # the client has disconnected
            while connection.recv(1, socket.MSG_PEEK):
                step, releases = self._next_step()
                request = None
                if step.reads_request:
                    request = read_request(connection)
                    self._record(request, number)
                exchange = Exchange(connection, partial(self._answer_read, request), partial(self._hold, releases))
                step.play(exchange)
                if not exchange.open:
                    return

    def _next_step(self) -> tuple[Step, int]:
        with self._changed:
            return self._script.popleft() if self._script else self._default, self._releases

    def _record(self, request: HttpRequest, connection: int) -> None:
        headers = canonical_headers(request.headers)
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        with self._changed:
            self._requests.append(Arrived(operation, _members(request.body), headers, connection))
            self._changed.notify_all()

    @abstractmethod
    def _answer(self, request: HttpRequest, engines: Mapping[str, Engine] | None) -> AwsResponse:
        """Returns the service's response to a request; with engines, their response."""

    def _answer_read(self, request: HttpRequest | None, engines: Mapping[str, Engine] | None) -> AwsResponse:
        if request is None:
            raise AssertionError("a request that has not been read cannot be answered")
        return self._answer(request, engines)

    def _hold(self, releases: int, seconds: float | None) -> bool:
        with self._changed:
            self._held += 1
            self._changed.notify_all()
            released = self._changed.wait_for(lambda: self._ending or self._releases != releases, seconds)
            self._held -= 1
            return released


def _members(body: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        document = json.loads(body)
        if isinstance(document, dict):
            return document
    return {}

"""An HTTP server on the loopback that does with each request what a test scripts."""

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

from tokend_server.aws_json.wire import AwsResponse, folded
from tokend_server.engine import Engine

#: How long a test waits for what has to come.
PATIENCE = 30


@dataclass(frozen=True)
class Arrived:
    """A request that has been read.

    Attributes:
        operation: The name in `X-Amz-Target`, without the service.
        body: The members of the JSON object; none if it is no such thing.
        headers: By name in lower case.
        connection: Numbers the connections from 1.
    """

    operation: str
    body: dict[str, Any]
    headers: dict[str, str]
    connection: int


class ScriptedUpstream(ABC):
    """Serves while it is entered as a context manager; leaving it ends every connection and thread.

    Attributes:
        url: Where it is.
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
        """The requests that have been read so far."""
        with self._changed:
            return list(self._requests)

    def script(self, steps: Iterable[Step]) -> None:
        """Does these steps with the next requests, one each, and then what it always does."""
        with self._changed:
            self._script = deque(steps)

    def always(self, step: Step) -> None:
        """Does this step with every request that no script is left for."""
        with self._changed:
            self._script.clear()
            self._default = step

    def wait_for_requests(self, count: int) -> list[Arrived]:
        """Returns the requests as soon as there are so many."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= count, PATIENCE):
                raise TimeoutError(f"{len(self._requests)} of {count} requests have come")
            return list(self._requests)

    def wait_for_held(self, count: int) -> None:
        """Returns as soon as so many connections hang or drip."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._held >= count, PATIENCE):
                raise TimeoutError(f"{self._held} of {count} connections are held")

    def release(self) -> None:
        """Lets go of every connection that hangs or drips now."""
        with self._changed:
            self._releases += 1
            self._changed.notify_all()

    def stop_listening(self) -> None:
        """Refuses connections, and ends those that there are."""
        self._set_ending(ending=True)
        self._listener.stop()

    def listen_again(self) -> None:
        """Takes connections on the same port."""
        self._set_ending(ending=False)
        self._listener.start_again()

    def stop_accepting(self) -> None:
        """Leaves attempts to connect unanswered; the connections that there are stay."""
        self._listener.stop_accepting()

    def accept_again(self) -> None:
        """Takes connections again."""
        self._listener.accept_again()

    def _set_ending(self, *, ending: bool) -> None:
        with self._changed:
            self._ending = ending
            self._changed.notify_all()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(ConnectionError):  # the client has left
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
        headers = folded(request.headers)
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        with self._changed:
            self._requests.append(Arrived(operation, _members(request.body), headers, connection))
            self._changed.notify_all()

    @abstractmethod
    def _answer(self, request: HttpRequest, engines: Mapping[str, Engine] | None) -> AwsResponse:
        """What the service says to a request; with engines, as if these were behind it."""

    def _answer_read(self, request: HttpRequest | None, engines: Mapping[str, Engine] | None) -> AwsResponse:
        if request is None:
            raise AssertionError("a request that has not been read cannot be answered")
        return self._answer(request, engines)

    def _hold(self, releases: int, seconds: float | None) -> bool:
        with self._changed:
            self._held += 1
            self._changed.notify_all()
            let_go = self._changed.wait_for(lambda: self._ending or self._releases != releases, seconds)
            self._held -= 1
            return let_go


def _members(body: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        document = json.loads(body)
        if isinstance(document, dict):
            return document
    return {}

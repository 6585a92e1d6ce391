"""The AssumeRole operations of AWS STS on the loopback: the Query protocol over real HTTP."""

import datetime as dt
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs

from tests.fakes.cognito_upstream import AccessKey
from tests.fakes.http_connections import Listener, read_request
from tests.fakes.scripted_upstream import TIMEOUT

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass(frozen=True)
class Assumed:
    """Returns credentials of a role that expire after this many seconds."""

    key: AccessKey
    life: float = 3600.0

    def answer(self, action: str) -> tuple[int, str]:
        expiration = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.life)).strftime("%Y-%m-%dT%H:%M:%SZ")
        members = {
            "AccessKeyId": self.key.aws_access_key_id,
            "SecretAccessKey": self.key.aws_secret_access_key,
            "SessionToken": self.key.aws_session_token,
            "Expiration": expiration,
        }
        credentials = "".join(f"<{name}>{value}</{name}>" for name, value in members.items())
        result = f"<{action}Result><Credentials>{credentials}</Credentials></{action}Result>"
        return 200, (
            f'<{action}Response xmlns="{_NAMESPACE}">{result}<ResponseMetadata><RequestId>r-1</RequestId>'
            f"</ResponseMetadata></{action}Response>"
        )


@dataclass(frozen=True)
class Refused:
    """An error of STS."""

    code: str
    status: int = 403
    message: str = "Said of the role."

    def answer(self, _action: str) -> tuple[int, str]:
        error = f"<Error><Type>Sender</Type><Code>{self.code}</Code><Message>{self.message}</Message></Error>"
        return self.status, f'<ErrorResponse xmlns="{_NAMESPACE}">{error}<RequestId>r-1</RequestId></ErrorResponse>'


@dataclass(frozen=True)
class Answered:
    """A response that is not from STS."""

    status: int
    body: str

    def answer(self, _action: str) -> tuple[int, str]:
        return self.status, self.body


class StsDouble:
    """Serves while the context manager is active.

    Attributes:
        url: Its URL.
        answer: The response to requests; None leaves them without a response until the end.
    """

    def __init__(self, answer: Assumed | Refused | Answered | None) -> None:
        self.answer: Assumed | Refused | Answered | None = answer
        self._requests: list[tuple[dict[str, str], str]] = []
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._listener = Listener(self._serve)
        self.url = f"http://127.0.0.1:{self._listener.port}"

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._listener.stop()

    def end(self) -> None:
        """Closes the connections of requests without a response, also of later ones."""
        self._ended.set()

    @property
    def requests(self) -> list[tuple[dict[str, str], str]]:
        """The parameters and the `Authorization` header of each request."""
        with self._changed:
            return list(self._requests)

    def wait_for_requests(self, count: int) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= count, TIMEOUT):
                raise TimeoutError(f"{len(self._requests)} of {count} requests have come")

    def _serve(self, connection: socket.socket, _number: int) -> None:
        with suppress(ConnectionError):
            while connection.recv(1, socket.MSG_PEEK):
                request = read_request(connection)
                parameters = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
                signature = next((value for name, value in request.headers if name.lower() == "authorization"), "")
                with self._changed:
                    self._requests.append((parameters, signature))
                    self._changed.notify_all()
                if self.answer is None:
                    self._ended.wait()
                    return
                status, body = self.answer.answer(parameters.get("Action", ""))
                head = f"HTTP/1.1 {status} -\r\ncontent-type: text/xml\r\ncontent-length: {len(body.encode())}\r\n\r\n"
                connection.sendall((head + body).encode())

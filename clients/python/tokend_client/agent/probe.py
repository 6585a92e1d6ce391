"""Checks the readiness of a running agent, for probes that can only run a command."""

import http.client
import json
import socket
from typing import Any

from tokend_client.agent.configuration import Health

#: Seconds.
_TIMEOUT = 5.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT)
        self.sock.connect(self._path)


def readiness_problems(health: Health) -> list[str]:
    """Returns the problem of each token that is not valid; empty if the agent is ready.

    Raises:
        OSError: The agent does not respond.
    """
    if health.socket_path is not None:
        connection: http.client.HTTPConnection = _UnixConnection(str(health.socket_path))
    else:
        connection = http.client.HTTPConnection(*health.host_and_port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        answer = json.loads(connection.getresponse().read())
        return [_describe(token) for token in answer["tokens"] if token["state"] != "valid"]
    except (http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise OSError("the server there is not tokend-agent") from None
    finally:
        connection.close()


def _describe(token: dict[str, Any]) -> str:
    return ": ".join(filter(None, (token["name"], token["state"], token.get("problem"))))

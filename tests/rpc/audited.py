"""Services with an audit log, and an audit log that blocks calls."""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from google.rpc.error_details_pb2 import QuotaFailure, RequestInfo, ResourceInfo, RetryInfo
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import METHODS, POOL_ID, TIMEOUT, GrpcService, grpc_service

from tokend_server.access.audit.auditor import Auditor
from tokend_server.callers import keys
from tokend_server.model import Secret
from tokend_server.rpc.call import CURRENT_CALL, Call
from tokend_server.rpc.interceptors.audit import auditing
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.policy import Rule
from tokend_server.rpc.server import SERVICE_NAME

if TYPE_CHECKING:
    from google.protobuf.message import Message

CANARY = "canary-5e1c4b"
GET, LOOKUP, MERGE, UNLINK = METHODS
HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"

CHECKOUT, READER = (keys.new_key(seed.__mul__) for seed in (b"a", b"b"))

#: `checkout` may call all operations on one pool, `reader` only lookups.
SECTIONS: Mapping[str, object] = {
    "callers": {"keys": {"checkout": [keys.digest(CHECKOUT)], "reader": [keys.digest(READER)]}},
    "policy": {
        "shop": {
            "callers": ["key:checkout"],
            "pools": [POOL_ID],
            "operations": ["*"],
            "max_token_duration_seconds": 600,
            "principal_tag_keys": ["department"],
        },
        "readers": {"callers": ["key:*"], "pools": ["*"], "operations": [LOOKUP]},
    },
}

KINDS = (QuotaFailure, RequestInfo, ResourceInfo, RetryInfo)


def bearing(key: Secret) -> tuple[str, str]:
    return ("authorization", f"Bearer {key.reveal()}")


class Audited:
    """A service with an audit log in a file.

    Attributes:
        service: The service.
    """

    def __init__(self, service: GrpcService, path: Path) -> None:
        self.service = service
        self._path = path

    @property
    def text(self) -> str:
        self.service.await_audit_lines()
        return self._path.read_text(encoding="ascii")

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def event(self) -> dict[str, Any]:
        """Returns the only line."""
        (event,) = self.events
        return event

    def call(self, method: str, request: "Message | None" = None, key: Secret = CHECKOUT, **metadata: str) -> "Message":
        given = {name.replace("_", "-"): value for name, value in metadata.items()}
        return self.service.call(method, request, metadata=[bearing(key), *given.items()])


@contextmanager
def audited_service(
    directory: Path, sections: Mapping[str, object] | None = None, **settings: object
) -> Iterator[Audited]:
    path = directory / "audit.log"
    tables = {**SECTIONS, "audit": {"destination": f"file:{path}"}, **(sections or {})}
    # A stopped clock would never end a pause.
    defaults = {"identify_by": ["bearer_key"], "pause_after_refusal_seconds": 0}
    with grpc_service(FakeClock(), tables, **{**defaults, **settings}) as service:
        yield Audited(service, path)


def token(**header: str) -> Secret:
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return Secret(f"{encoded}.{CANARY}.{CANARY}")


class HeldLog:
    """An audit log that blocks a line until it is released."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.release = threading.Event()
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.begun.set()
        assert self.release.wait(TIMEOUT)
        self.lines.append(line)

    def reopen(self) -> None: ...

    def close(self) -> None: ...


def audited_call(log: HeldLog, behave: Callable[..., str], source: str = "") -> str:
    """Makes a call through only this layer."""
    method = Method(SERVICE_NAME, GET, "unary")
    auditor = Auditor(log, required=False, clock=FakeClock(), event_id=lambda: "1", on_failure=lambda _error: None)
    before = CURRENT_CALL.set(Call(GET, "r-1", source=source))
    try:
        behavior = auditing(auditor, FakeClock(), {method.path: Rule.GRANT})(method, behave)
        return cast("str", behavior(None, None))
    finally:
        CURRENT_CALL.reset(before)

"""An Engine that records requests, and returns, fails or waits as set by a test."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tokend_server.clock import Deadline
from tokend_server.model import (
    DeveloperIdentity,
    IdentityOutcome,
    IssuedToken,
    LookupRequest,
    MergeRequest,
    Secret,
    TokenRequest,
    UnlinkRequest,
)

IDENTITY_ID = "us-east-1:11111111-2222-4333-8444-555555555555"

ISSUED = IssuedToken(
    identity_id=IDENTITY_ID,
    token=Secret("header.claims.signature"),
    expire_time=1_800_000_900,
    refresh_time=1_800_000_450,
    algorithm="RS512",
    key_id="key-1",
    outcome=IdentityOutcome.RETRIEVED,
)

FOUND = DeveloperIdentity(IDENTITY_ID, (Secret("alice"), Secret("alice-2")), next_token="page-2")

Request: TypeAlias = TokenRequest | LookupRequest | MergeRequest | UnlinkRequest


@dataclass(frozen=True)
class ReceivedCall:
    """One call: its request, and the remaining seconds of its deadline on arrival."""

    request: Request
    remaining: float


@dataclass
class Hold:
    """A gate at which calls wait.

    Attributes:
        entered: Set when a call waits.
        release: Set it to release calls.
    """

    entered: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


class ScriptedEngine:
    """Handles every call alike until a test changes that.

    Attributes:
        asked: The received calls, in order.
        failure: The exception of every call, if any.
        act: The first action of every call, if any.
        problem: The exception of `check`, if any.
        answers: The results of the operations: an IssuedToken, a DeveloperIdentity, an identity id, or others.
    """

    def __init__(self) -> None:
        self.asked: list[ReceivedCall] = []
        self.failure: Exception | None = None
        self.act: Callable[[], None] | None = None
        self.problem: Exception | None = None
        self.answers: dict[str, Any] = {"get": ISSUED, "lookup": FOUND, "merge": IDENTITY_ID}
        self._hold: Hold | None = None

    @property
    def requests(self) -> list[Request]:
        return [each.request for each in self.asked]

    @contextmanager
    def holding(self) -> Iterator[Hold]:
        """Makes calls wait until the gate is released, at the latest when the block ends."""
        self._hold = hold = Hold()
        try:
            yield hold
        finally:
            self._hold = None
            hold.release.set()

    def get_open_id_token_for_developer_identity(self, request: TokenRequest, deadline: Deadline) -> IssuedToken:
        self._take(request, deadline)
        issued: IssuedToken = self.answers["get"]
        return issued

    def lookup_developer_identity(self, request: LookupRequest, deadline: Deadline) -> DeveloperIdentity:
        self._take(request, deadline)
        found: DeveloperIdentity = self.answers["lookup"]
        return found

    def merge_developer_identities(self, request: MergeRequest, deadline: Deadline) -> str:
        self._take(request, deadline)
        identity_id: str = self.answers["merge"]
        return identity_id

    def unlink_developer_identity(self, request: UnlinkRequest, deadline: Deadline) -> None:
        self._take(request, deadline)

    def check(self) -> Sequence[str]:
        """Returns the result of a `Backend` with only this engine."""
        if self.problem is not None:
            raise self.problem
        return ()

    def _take(self, request: Request, deadline: Deadline) -> None:
        self.asked.append(ReceivedCall(request, deadline.remaining()))
        if (hold := self._hold) is not None:
            hold.entered.set()
            hold.release.wait()
        if self.act is not None:
            self.act()
        if self.failure is not None:
            raise self.failure

"""Presents tokens of servers whose keys rotate to verifiers, at once and again before they expire."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import grpc
import httpx
import jwt
from google.protobuf.duration_pb2 import Duration
from tests.key_rotations.presenting import Presentation, Presenting
from tests.key_rotations.replicas import Replicas, running
from tests.key_rotations.scale import Scale
from tests.key_rotations.verifiers import VERIFIERS, verifiers
from tests.support.calls import Caller
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityRequest

#: Seconds between two calls to a server.
_PACE = 0.1

#: Seconds before a token's expiration, by the verifiers' clocks, in which it is not presented any more.
_MARGIN = 3.0


class Refusal(NamedTuple):
    """A token that a verifier rejected, or that a server did not issue."""

    by: str
    why: str
    kid: str


@dataclass
class Outcome:
    """The results of a run.

    Attributes:
        tokens: The number of issued tokens.
        accepted: The number of accepted tokens by verifier.
        refusals: The failures.
        signed_with: The keys that each server has signed with.
        published: The keys that were ever published, and those that are now.
    """

    tokens: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    signed_with: tuple[set[str], ...] = field(default_factory=lambda: (set(), set(), set()))
    published: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))

    @property
    def rotations(self) -> int:
        """Returns how many keys each server has signed with after its first."""
        return min(map(len, self.signed_with)) - 1

    @property
    def removed(self) -> int:
        """Returns how many keys were removed."""
        ever, still = self.published
        return len(ever - still)

    def line(self) -> str:
        accepted = ", ".join(f"{name} {count}" for name, count in sorted(self.accepted.items()))
        return (
            f"{self.rotations} rotations, {self.removed} keys removed, {self.tokens} tokens, accepted by {accepted}; "
            f"{len(self.refusals)} refusals {sorted(set(self.refusals))[:3]}"
        )


class _Run:
    """Calls servers, and presents their tokens."""

    def __init__(self, replicas: Replicas, outcome: Outcome, seed: int) -> None:
        self._replicas = replicas
        self._outcome = outcome
        self._choose = random.Random(seed)
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self.presenting: list[Presenting] = []

    def call(self, number: int, life: int) -> None:
        """Calls a server until the end of the run."""
        caller = Caller(self._replicas.servers[number])
        request = GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=POOL_ID,
            logins={DEVELOPER_PROVIDER: f"user {number}"},
            token_duration=Duration(seconds=life),
        )
        while not self._is_over.wait(_PACE):
            try:
                token = caller.stub.GetOpenIdTokenForDeveloperIdentity(request, timeout=30).token
            except grpc.RpcError as error:
                self._note(Refusal(f"server {number}", str(error), ""))
                continue
            self._present(number, token)
        caller.close()

    def judge(self, name: str, presented: Presentation, why: str) -> None:
        """Records a verifier's verdict on a token."""
        if why:
            self._note(Refusal(name, why, presented.kid))
        else:
            with self._lock:
                self._outcome.accepted[name] += 1

    def record_keys(self) -> None:
        """Records which keys are published."""
        answer = httpx.get(f"{self._replicas.issuer}/.well-known/jwks.json", trust_env=False, verify=False).json()
        ever, still = self._outcome.published
        still.clear()
        still.update(key["kid"] for key in answer["keys"])
        ever.update(still)

    def stop(self) -> None:
        """Stops making calls."""
        self._is_over.set()

    def _present(self, number: int, token: str) -> None:
        decoded = jwt.decode_complete(token, options={"verify_signature": False})
        kid = decoded["header"]["kid"]
        ends_in = decoded["payload"]["exp"] - time.time() - _MARGIN
        now = time.monotonic()
        with self._lock:
            self._outcome.tokens += 1
            self._outcome.signed_with[number].add(kid)
            later = self._choose.uniform(0, ends_in)
        for each in self.presenting:
            each.add(*(Presentation(now + wait, now + ends_in, token, kid) for wait in (0, later)))

    def _note(self, refusal: Refusal) -> None:
        with self._lock:
            self._outcome.refusals.append(refusal)


def rotate(  # noqa: PLR0913 - where, when, and how long
    directory: Path,
    scale: Scale,
    *,
    rotations: int,
    removals: int,
    seed: int = 0,
    presented_to: Collection[str] = tuple(VERIFIERS),
    meanwhile: Callable[[Path], None] = lambda _config: None,
) -> Generator[Outcome]:
    """Lets servers rotate their keys while tokens are issued and verified, and yields the outcome every second.

    It ends when each server has signed with this many keys after its first, and this many were removed.

    Args:
        directory: The directory for all files.
        scale: The durations.
        rotations: The number of rotations to wait for.
        removals: The number of removed keys to wait for.
        seed: The seed of the times at which tokens are presented.
        presented_to: The verifiers.
        meanwhile: Called every second with a server's configuration.
    """
    outcome = Outcome()
    with ExitStack() as undo:
        replicas = undo.enter_context(running(directory, scale))
        found = undo.enter_context(verifiers(presented_to, replicas.issuer, scale, directory))
        run = _Run(replicas, outcome, seed)
        run.presenting += [Presenting(name, verify, run.judge) for name, verify in found.items()]
        for each in run.presenting:
            undo.callback(each.stop)
        threads = [
            threading.Thread(target=run.call, args=(number, scale.life)) for number in range(len(replicas.servers))
        ]
        for thread in threads:
            thread.start()
            undo.callback(thread.join)
        undo.callback(run.stop)
        while outcome.rotations < rotations or outcome.removed < removals:
            time.sleep(1)
            meanwhile(replicas.config)
            run.record_keys()
            yield outcome
    yield outcome

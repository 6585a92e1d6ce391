"""Callers whose issuer accepts connections and never responds leave threads to other callers."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from tests.fakes.oidc_provider import Fault, OidcProvider, rsa_key, sign
from tests.support.grpc_service import TIMEOUT, VALID, GrpcService, failure, grpc_service

from tokend_server.access.authentication.jwt import TokenIssuer
from tokend_server.callers import keys

METHOD = "LookupDeveloperIdentity"
if TYPE_CHECKING:
    from google.protobuf.message import Message

KEY = keys.new_key(b"a".__mul__)
THREADS = 4


@dataclass(frozen=True)
class Site:
    service: GrpcService
    provider: OidcProvider

    def known(self) -> None:
        """Makes a call of a caller that is identified without an issuer."""
        self.service.call(METHOD, metadata=[("authorization", f"Bearer {KEY.reveal()}")])

    def unknown(self, kid: str, timeout: float | None = 10.0 * TIMEOUT) -> "grpc.Future[Message]":
        """Starts a call with a token signed by a key of the issuer."""
        token = sign({"alg": "RS256", "kid": kid}, {"iss": self.provider.issuer, "sub": "checkout"}, rsa_key("1"))
        begin: Callable[..., Any] = self.service.stub.LookupDeveloperIdentity.future
        call: grpc.Future[Message] = begin(
            VALID[METHOD], timeout=timeout, metadata=[("authorization", f"Bearer {token}")]
        )
        return call


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A service whose issuer hangs for the whole test."""
    for name in ("oidc.outbound.SOCKET_TIMEOUT", "oidc.keys.FETCH_TIMEOUT"):
        monkeypatch.setattr(f"tokend_server.{name}", 10.0 * TIMEOUT)
    defaults = TokenIssuer.__init__.__kwdefaults__
    assert defaults
    assert "keys_timeout" in defaults
    monkeypatch.setitem(defaults, "keys_timeout", 10.0 * TIMEOUT)
    with OidcProvider(fault=Fault.HANG) as provider:
        sections = {
            "callers": {
                "keys": {"checkout": [keys.digest(KEY)]},
                "jwt": {"ci": {"issuer": provider.issuer, "audiences": ["tokend"], "algorithms": ["RS256"]}},
            },
            "policy": {"all": {"callers": ["key:*", "jwt:*"], "pools": ["*"], "operations": ["*"]}},
        }
        with grpc_service(None, sections, identify_by=["jwt", "bearer_key"], threads=THREADS) as service:
            yield Site(service, provider)
            provider.released.set()


def test_known_callers_are_served_while_an_issuer_hangs(site: Site) -> None:
    calls = [site.unknown(f"made up {number}") for number in range(4 * THREADS)]
    assert site.provider.hanging.wait(TIMEOUT)
    for _ in range(3):
        site.known()
    refused = failure(_first_to_end(calls).result, RetryInfo)
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert any(isinstance(detail, RetryInfo) and detail.retry_delay.seconds for detail in refused.details)
    for call in calls:
        call.cancel()


def test_no_thread_waits_longer_than_its_caller(site: Site) -> None:
    waits = site.unknown("1", timeout=0.5)
    assert site.provider.hanging.wait(TIMEOUT)
    assert failure(waits.result).code is grpc.StatusCode.DEADLINE_EXCEEDED
    site.service.until_over(1)
    # Its place is free again: the next call waits instead of being rejected.
    second = site.unknown("1")
    site.known()
    site.provider.released.set()
    assert failure(second.result).code is grpc.StatusCode.UNAUTHENTICATED


def _first_to_end(calls: "list[grpc.Future[Message]]") -> "grpc.Future[Message]":
    ended = threading.Event()
    first: list[grpc.Future[Message]] = []

    def end(call: "grpc.Future[Message]") -> None:
        first.append(call)
        ended.set()

    for call in calls:
        call.add_done_callback(end)
    assert ended.wait(TIMEOUT)
    return first[0]

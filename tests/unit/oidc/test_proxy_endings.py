"""Requests to issuers through a proxy that works, refuses or hangs, and without a proxy."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.connect_proxy import CONNECTED, ConnectProxy
from tests.fakes.oidc_provider import DISCOVERY_PATH, OidcProvider
from tests.unit.oidc.guarded_provider import GuardedProvider

from tokend_server.clock import Deadline, SystemClock
from tokend_server.oidc.documents import KeySource, fetch_keys
from tokend_server.oidc.outbound import FetchFailed, IssuerHttp

#: A public address that serves no issuer (AS112, RFC 7535).
ELSEWHERE = "192.31.196.7"

TIMEOUT = 30.0


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[GuardedProvider]:
    """A provider that is reachable only at `ELSEWHERE` through a proxy."""
    with GuardedProvider(OidcProvider(), tmp_path, "of-this-pod", host=ELSEWHERE) as running:
        (tmp_path / "token").write_text("of-this-pod")
        yield running


def fetch(provider: GuardedProvider, seconds: float = TIMEOUT, **environment: str) -> list[str | None]:
    """Returns the ids of the found keys."""
    http = IssuerHttp(provider.ca_file, environment)
    source = KeySource(issuer=provider.issuer, http=http, bearer_token_file=provider.ca_file.parent / "token")
    clock = SystemClock()
    return [key.kid for key in fetch_keys(source, Deadline(clock, clock.monotonic() + seconds))]


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_requests_are_sent_through_the_proxy(provider: GuardedProvider, name: str) -> None:
    with ConnectProxy() as proxy:
        assert fetch(provider, TIMEOUT, **{name: proxy.url}) == ["1"]
        assert proxy.targets == [("CONNECT", f"{ELSEWHERE}:{provider.port}")] * 2
        shown = [header for request in proxy.requests for header, _ in request.headers]
    assert "authorization" not in {header.lower() for header in shown}
    assert [authorization for _, authorization in provider.shown] == ["Bearer of-this-pod"] * 2


def test_the_credentials_in_the_proxy_url_are_sent_to_the_proxy(provider: GuardedProvider) -> None:
    with ConnectProxy() as proxy:
        assert fetch(provider, HTTPS_PROXY=proxy.url.replace("//", "//user:word@")) == ["1"]
        shown = [value for request in proxy.requests for header, value in request.headers if "proxy" in header.lower()]
    assert shown == ["Basic dXNlcjp3b3Jk"] * 2


def test_excluded_hosts_bypass_the_proxy(provider: GuardedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_arguments: object, **_options: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", provider.port))]

    with ConnectProxy() as proxy:
        monkeypatch.setattr("tokend_server.oidc.outbound.socket.getaddrinfo", found)
        assert fetch(provider, HTTPS_PROXY=proxy.url, NO_PROXY=f"other.example, {ELSEWHERE}") == ["1"]
        assert proxy.requests == []


def test_a_rejection_by_the_proxy_is_reported(provider: GuardedProvider) -> None:
    with ConnectProxy(lambda _request: "407 Proxy Authentication Required") as proxy:
        with pytest.raises(FetchFailed, match="ProxyError"):
            fetch(provider, HTTPS_PROXY=proxy.url)
        assert len(proxy.requests) == 1
    assert provider.shown == []


def test_an_unreachable_proxy_is_reported(provider: GuardedProvider) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = "http://{}:{}".format(*listener.getsockname())
    with pytest.raises(FetchFailed, match="no connection"):
        fetch(provider, HTTPS_PROXY=url)


def test_a_hanging_proxy_times_out(provider: GuardedProvider) -> None:
    with ConnectProxy(lambda _request: None) as proxy:
        with pytest.raises(FetchFailed):
            fetch(provider, 1.0, HTTPS_PROXY=proxy.url)
        assert proxy.hanging.is_set()


def test_a_proxy_that_hangs_between_documents_times_out(provider: GuardedProvider) -> None:
    answers = iter([CONNECTED, None])
    with ConnectProxy(lambda _request: next(answers)) as proxy:
        with pytest.raises(FetchFailed):
            fetch(provider, 5.0, HTTPS_PROXY=proxy.url)
        assert proxy.hanging.is_set()
    assert [path for path, _ in provider.shown] == [DISCOVERY_PATH]

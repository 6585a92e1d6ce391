"""Requests to issuers go through the proxy in the environment."""

import base64
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.connect_proxy import ConnectProxy

from tokend_server.clock import Deadline
from tokend_server.oidc.outbound import FetchFailed, IssuerHttp

URL = "https://keys.example.test/jwks"
TARGET = ("CONNECT", "keys.example.test:443")


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    with ConnectProxy(lambda _request: "403 Forbidden") as running:
        yield running


@pytest.fixture(autouse=True)
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that the test's own thread resolves; all except the loopback's are unknown."""
    names: list[str] = []
    look_up, thread = socket.getaddrinfo, threading.get_ident()

    def counted(host: str, *arguments: object, **options: object) -> object:
        if threading.get_ident() != thread:  # fetches of other tests may still be running
            return look_up(host, *arguments, **options)  # type: ignore[arg-type] # as it is called
        names.append(host)
        if host != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return look_up(host, *arguments, **options)  # type: ignore[arg-type] # as it is called

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    return names


def fetch(environment: dict[str, str], *, allow_internal: bool = True) -> None:
    with pytest.raises(FetchFailed):
        IssuerHttp(environment=environment).get(URL, {}, Deadline(FakeClock()), allow_internal=allow_internal)


@pytest.mark.parametrize("allow_internal", [True, False])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_proxy_is_used_and_resolves_the_host_name(
    proxy: ConnectProxy,
    lookups: list[str],
    name: str,
    allow_internal: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    fetch({name: proxy.url}, allow_internal=allow_internal)
    assert proxy.targets == [TARGET]
    assert lookups == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("user:word", b"user:word"),
        ("us%20er:p%40s%3as%2F%25", b"us er:p@s:s/%"),
        ("user:caf%C3%A9%E2%82%AC", "user:café€".encode()),
        ("user:café", "user:café".encode()),
        ("user:", b"user:"),
        ("user", b"user:"),
    ],
)
def test_the_proxy_gets_its_own_credentials(proxy: ConnectProxy, written: str, shown: bytes) -> None:
    fetch({"HTTPS_PROXY": proxy.url.replace("//", f"//{written}@")})
    assert proxy.targets == [TARGET]
    (request,) = proxy.requests
    given = [value for name, value in request.headers if name.lower() == "proxy-authorization"]
    assert given == [f"Basic {base64.b64encode(shown).decode()}"]


@pytest.mark.parametrize("no_proxy", ["keys.example.test", "example.test", ".example.test", "other.test, example.test"])
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_hosts_of_no_proxy_are_reached_directly(
    proxy: ConnectProxy, lookups: list[str], name: str, no_proxy: str
) -> None:
    fetch({"HTTPS_PROXY": proxy.url, name: no_proxy})
    assert proxy.requests == []
    assert lookups == ["keys.example.test"]


@pytest.mark.parametrize("no_proxy", ["", "ample.test", "keys.example", "keys.example.test.org"])
def test_other_hosts_are_reached_through_the_proxy(proxy: ConnectProxy, no_proxy: str) -> None:
    fetch({"HTTPS_PROXY": proxy.url, "NO_PROXY": no_proxy})
    assert proxy.targets == [TARGET]

"""Requests to issuers go through the proxy that the environment names."""

import socket
import threading
from collections.abc import Iterator
from typing import Self

import pytest
from tests.fakes.clock import FakeClock

from tokend_server.clock import Deadline
from tokend_server.oidc.outbound import FetchFailed, IssuerHttp

URL = "https://keys.example.test/jwks"
TARGET = "CONNECT keys.example.test:443"


class RefusingProxy:
    """An HTTP proxy that takes requests, and refuses them.

    Attributes:
        url: Where it listens.
        requests: The heads of the requests.
    """

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    @property
    def targets(self) -> list[str]:
        """The methods and targets of the requests; the version is the library's business."""
        return [head[0].rpartition(" ")[0] for head in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the end
                return
            with client, client.makefile("rb") as lines:
                head = [line.decode().strip() for line in iter(lines.readline, b"\r\n")]
                self.requests.append(head)
                client.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


@pytest.fixture
def proxy() -> Iterator[RefusingProxy]:
    with RefusingProxy() as running:
        yield running


@pytest.fixture(autouse=True)
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are looked up by the test's own thread; all but the loopback's are unknown."""
    names: list[str] = []
    look_up, thread = socket.getaddrinfo, threading.get_ident()

    def counted(host: str, *arguments: object, **options: object) -> object:
        if threading.get_ident() != thread:  # fetches of other tests may still be under way
            return look_up(host, *arguments, **options)  # type: ignore[arg-type] # as it is called
        names.append(host)
        if host != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return look_up(host, *arguments, **options)  # type: ignore[arg-type] # as it is called

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    return names


def fetch(environment: dict[str, str], *, may_go_inside: bool = True) -> None:
    with pytest.raises(FetchFailed):
        IssuerHttp(environment=environment).get(URL, {}, Deadline(FakeClock()), may_go_inside=may_go_inside)


@pytest.mark.parametrize("may_go_inside", [True, False])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_proxy_is_asked_and_looks_the_name_up(
    proxy: RefusingProxy,
    lookups: list[str],
    name: str,
    may_go_inside: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    fetch({name: proxy.url}, may_go_inside=may_go_inside)
    assert proxy.targets == [TARGET]
    assert lookups == ["127.0.0.1"]


def test_the_proxy_gets_its_own_credentials(proxy: RefusingProxy) -> None:
    fetch({"HTTPS_PROXY": proxy.url.replace("//", "//user:word@")})
    assert proxy.targets == [TARGET]
    ((_, *fields),) = proxy.requests
    assert "proxy-authorization: basic dxnlcjp3b3jk" in map(str.lower, fields)


@pytest.mark.parametrize("no_proxy", ["keys.example.test", "example.test", ".example.test", "other.test, example.test"])
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_hosts_of_no_proxy_are_reached_directly(
    proxy: RefusingProxy, lookups: list[str], name: str, no_proxy: str
) -> None:
    fetch({"HTTPS_PROXY": proxy.url, name: no_proxy})
    assert proxy.requests == []
    assert lookups == ["keys.example.test"]


@pytest.mark.parametrize("no_proxy", ["", "ample.test", "keys.example", "keys.example.test.org"])
def test_other_hosts_are_not(proxy: RefusingProxy, no_proxy: str) -> None:
    fetch({"HTTPS_PROXY": proxy.url, "NO_PROXY": no_proxy})
    assert proxy.targets == [TARGET]

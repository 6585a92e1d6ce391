"""Sockets on addresses: the same for the HTTP and the gRPC listeners, with the system's error if they fail."""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.support.grpc_service import grpc_service
from tests.support.other_users import UNPRIVILEGED

from tokend_server.errors import ConfigError
from tokend_server.process.listening import (
    Endpoint,
    endpoints,
    open_sockets,
    prepare_socket_path,
    reachable_address,
    usable_endpoints,
)
from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.message import plain_text
from tokend_server.web.site import Site

IPV4, IPV6 = "127.0.0.1", "::1"

#: An address of no machine (RFC 5737).
NOT_OURS = "192.0.2.1"


@contextmanager
def over_http(address: str) -> Iterator[str]:
    with closing(BoundAddress("ops.listen", address)) as bound:
        listener = HttpListener(bound, Site({"/": lambda _request: plain_text("ok")})).start()
        yield bound.address
        listener.stop()


@contextmanager
def over_grpc(address: str) -> Iterator[str]:
    with grpc_service(listen=[address], insecure=True) as service:
        yield service.address


listeners = pytest.mark.parametrize("listening", [over_http, over_grpc], ids=["http", "grpc"])
Listening = Callable[[str], AbstractContextManager[str]]


def reaches(host: str, address: str) -> bool:
    """Returns whether a server responds; a gRPC server sends first."""
    try:
        with socket.create_connection((host, int(address.rpartition(":")[2])), timeout=30) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return bool(client.recv(1))
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "[::]"])
@pytest.mark.parametrize(("lacking", "reached"), [(None, "127.0.0.1:5"), (errno.EADDRNOTAVAIL, "[::1]:5")])
def test_a_wildcard_address_is_reachable_at_an_available_loopback_address(
    lacking: int | None, reached: str, wildcard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(endpoint: Endpoint, port: int) -> socket.socket:
        if lacking and endpoint.family is socket.AF_INET:
            raise OSError(lacking, os.strerror(lacking))
        return socket.create_server((endpoint.host, port), family=endpoint.family)

    monkeypatch.setattr(Endpoint, "open", opened)
    assert reachable_address(f"{wildcard}:5") == reached


@listeners
@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", {IPV4}),
        ("[::1]", {IPV6}),
        ("localhost", {IPV4, IPV6}),
        ("0.0.0.0", {IPV4, IPV6}),
        ("[::]", {IPV4, IPV6}),
    ],
)
def test_an_address_means_the_same_on_every_listener(host: str, reached: set[str], listening: Listening) -> None:
    with listening(f"{host}:0") as address:
        assert address.startswith(f"{host}:")
        assert not address.endswith(":0")
        assert {each for each in (IPV4, IPV6) if reaches(each, address)} == reached


@listeners
@pytest.mark.parametrize(
    ("taken", "asked"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("127.0.0.1", "localhost"),
        ("[::1]", "localhost"),  # otherwise half of the clients would reach another server
        ("127.0.0.1", "[::]"),
        ("[::]", "127.0.0.1"),
        ("0.0.0.0", "[::1]"),
    ],
)
def test_an_address_that_is_taken_is_reported_with_the_reason(taken: str, asked: str, listening: Listening) -> None:
    with closing(BoundAddress("test", f"{taken}:0")) as bound:
        address = f"{asked}:{bound.address.rpartition(':')[2]}"
        with pytest.raises(ConfigError) as raised, listening(address):
            pass
    (problem,) = raised.value.problems
    assert problem.endswith(f"cannot listen on {address}: Address already in use; is another server using it?")


@listeners
def test_an_address_of_another_machine_is_reported_with_the_reason(listening: Listening) -> None:
    with pytest.raises(ConfigError) as raised, listening(f"{NOT_OURS}:0"):
        pass
    (problem,) = raised.value.problems
    assert problem.endswith(
        f"cannot listen on {NOT_OURS}:0: Cannot assign requested address; this machine has no such address"
    )


@listeners
def test_an_unknown_host_name_is_reported_with_the_reason(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    reason = r"cannot listen on tokend\.invalid:0: Name or service not known$"
    with pytest.raises(ConfigError, match=reason), listening("tokend.invalid:0"):
        pass


def test_unavailable_addresses_of_a_host_name_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Endpoint(socket.AF_INET, NOT_OURS)
    monkeypatch.setattr("tokend_server.process.listening.endpoints", lambda _host: [lacking, *endpoints(IPV4)])
    assert usable_endpoints("grpc.listen", "tokend.example:0") == ["127.0.0.1:0"]
    monkeypatch.setattr("tokend_server.process.listening.endpoints", lambda _host: [lacking, lacking])
    with pytest.raises(ConfigError, match="no such address"):
        open_sockets("grpc.listen", "tokend.example:0")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Drops root privileges, if the tests have them."""
    user = os.geteuid()
    if user:
        yield
        return
    os.seteuid(UNPRIVILEGED)
    try:
        yield
    finally:
        os.seteuid(user)


def first_unprivileged_port() -> int:
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))


@pytest.mark.skipif(first_unprivileged_port() < 2, reason="all ports are free to all users here")
def test_a_port_that_needs_a_capability_is_reported_with_the_reason() -> None:
    with unprivileged(), pytest.raises(ConfigError) as raised:
        open_sockets("ops.listen", "127.0.0.1:1")
    (problem,) = raised.value.problems
    assert problem.startswith("ops.listen: cannot listen on 127.0.0.1:1: Permission denied; ")
    assert problem.endswith("a port below 1024 needs the capability CAP_NET_BIND_SERVICE")


def refusal_of_socket(path: Path) -> str:
    with pytest.raises(ConfigError) as raised, over_grpc(f"unix:{path}"):
        pass
    (problem,) = raised.value.problems
    return problem


def test_a_unix_socket_that_cannot_be_made_is_reported_with_the_reason(tmp_path: Path) -> None:
    prefix = f"grpc.listen: cannot listen on unix:{tmp_path}"
    assert refusal_of_socket(tmp_path / "absent" / "s") == f"{prefix}/absent/s: {os.strerror(errno.ENOENT)}"
    (tmp_path / "file").touch()
    assert refusal_of_socket(tmp_path / "file") == f"{prefix}/file: there is a file of another kind"
    assert (tmp_path / "file").exists()
    assert refusal_of_socket(tmp_path / "file" / "s") == f"{prefix}/file/s: {os.strerror(errno.ENOTDIR)}"
    assert (
        refusal_of_socket(tmp_path) == f"grpc.listen: cannot listen on unix:{tmp_path}: there is a file of another kind"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to be two users")
def test_a_socket_of_another_user_is_not_removed() -> None:
    """It is also unknown whether it is served: this requires write permission."""
    with TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as others:
        path = Path(directory, "s")
        others.bind(str(path))
        others.listen()
        path.chmod(0o600)
        Path(directory).chmod(0o777)
        with unprivileged(), pytest.raises(ConfigError) as raised:
            prepare_socket_path("grpc.listen", str(path))
        assert raised.value.problems == [f"grpc.listen: cannot listen on unix:{path}: Permission denied"]
        assert path.exists()


def test_a_socket_whose_server_is_too_busy_to_accept_is_reported_as_in_use(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        waiting = []
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(0)
            waiting.append(client)
            if client.connect_ex(str(path)) == errno.EAGAIN:
                break
        assert refusal_of_socket(path) == f"grpc.listen: another server is using unix:{path}"
        for each in waiting:
            each.close()

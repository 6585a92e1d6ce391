"""tokend's call to itself: it shows what callers would see, and does not count as a caller's call."""

import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import grpc
import pytest
from prometheus_client import generate_latest
from tests.fakes.clock import FakeClock
from tests.support.authority import Authority
from tests.support.grpc_service import TIMEOUT, GrpcService, grpc_service
from tests.support.health import NOT_SERVING, SERVING, check_health
from tests.support.ports import can_connect
from tests.support.waiting import wait_until

from tokend_server.callers import keys
from tokend_server.rpc import probe
from tokend_server.rpc.connection_check import accepts_connections
from tokend_server.rpc.probe import Prober, Target
from tokend_server.rpc.readiness import ProbeTimeouts, Reachability, Readiness

LOOPBACK = "127.0.0.1"
KEYS = {
    "callers": {"keys": {"checkout": [keys.digest(keys.new_key(b"a".__mul__))]}},
    "policy": {"all": {"callers": ["key:*"], "pools": ["*"], "operations": ["*"]}},
}


@contextmanager
def probing(service: GrpcService, clock: FakeClock, *, call_timeout: float = TIMEOUT) -> Iterator[Prober]:
    prober = service.server.prober(clock, call_timeout=call_timeout, connection_timeout=TIMEOUT, interval=0.01)
    prober.start()
    try:
        yield prober
    finally:
        prober.stop()


def passes_again(prober: Prober, clock: FakeClock) -> None:
    clock.advance(1000)
    wait_until(lambda: all(each.reached == each.answered == 0 for each in prober.reachability()))


@pytest.fixture
def tls(tmp_path: Path) -> Callable[..., dict[str, object]]:
    def files(*, demands_certificates: bool) -> dict[str, object]:
        authority = Authority("all.example.test")
        server = authority.server(LOOPBACK)
        for name, pem in (("crt", server.certificate), ("key", server.private_key), ("ca", authority.certificate)):
            (tmp_path / f"tls.{name}").write_bytes(pem)
        ca = {"tls_client_ca_file": tmp_path / "tls.ca", "identify_by": ["mutual_tls"]} if demands_certificates else {}
        return {"tls_certificate_file": tmp_path / "tls.crt", "tls_private_key_file": tmp_path / "tls.key", **ca}

    return files


@pytest.mark.parametrize(
    "listen",
    [
        ["127.0.0.1:0"],
        ["0.0.0.0:0"],
        ["[::]:0"],
        ["localhost:0"],
        ["unix:{directory}/s"],
        ["127.0.0.1:0", "unix:{directory}/\udcff"],
        ["127.0.0.1:0", "unix:{directory}/s", "127.0.0.1:0"],
    ],
    ids=" ".join,
)
def test_every_address_is_probed(listen: list[str], tmp_path: Path) -> None:
    clock = FakeClock()
    addresses = [address.format(directory=tmp_path) for address in listen]
    with grpc_service(listen=addresses, insecure=True) as service, probing(service, clock) as prober:
        assert [each.listen for each in prober.reachability()] == list(service.server.addresses)
        passes_again(prober, clock)


@pytest.mark.parametrize("demands_certificates", [True, False])
def test_tls_is_probed_without_a_certificate(
    tls: Callable[..., dict[str, object]], *, demands_certificates: bool
) -> None:
    clock = FakeClock()
    sections = {"policy": {"all": {"callers": ["*"], "pools": ["*"], "operations": ["*"]}}}
    settings = tls(demands_certificates=demands_certificates)
    with grpc_service(None, sections, **settings) as service, probing(service, clock) as prober:
        passes_again(prober, clock)


def test_the_probe_passes_if_health_requires_a_caller() -> None:
    clock = FakeClock()
    settings = {"identify_by": ["bearer_key"], "health": "identified"}
    with grpc_service(None, KEYS, **settings) as service, probing(service, clock) as prober:
        passes_again(prober, clock)


def test_without_a_socket_directory_only_the_address_is_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_DIRECTORIES", ("/proc/none",))
    clock = FakeClock()
    with grpc_service() as service, probing(service, clock) as prober:
        passes_again(prober, clock)


@pytest.mark.parametrize("name", ["a%2Fb", "a#b", "a?b", "a b%", "\u00fc"])
def test_the_place_for_sockets_may_have_any_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    with tempfile.TemporaryDirectory(prefix=name) as directory:
        monkeypatch.setattr(probe, "_DIRECTORIES", (directory,))
        with grpc_service() as service, probing(service, clock) as prober:
            passes_again(prober, clock)
            (private,) = Path(directory).glob("tokend-*")
            assert [each.name for each in private.iterdir() if each.is_socket()] == ["1"]


def test_sockets_of_a_process_that_was_killed_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_DIRECTORIES", (str(tmp_path),))
    with grpc_service():
        (private,) = tmp_path.iterdir()
        killed = private.with_name("tokend-probes-killed")
        killed.mkdir()
        shutil.copy(private / "lock", killed)
        with closing(socket.socket(socket.AF_UNIX)) as left:
            left.bind(str(killed / "1"))
        with grpc_service():
            assert private.exists()
            assert not killed.exists()
    assert [*tmp_path.iterdir()] == []


def test_without_a_socket_directory_a_socket_of_any_name_is_probed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_DIRECTORIES", ("/proc/none",))
    clock = FakeClock()
    listen = ["127.0.0.1:0", f"unix:{tmp_path}/\udcff"]
    with grpc_service(listen=listen) as service, probing(service, clock) as prober:
        passes_again(prober, clock)


def test_a_directory_too_long_for_sockets_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    with tempfile.TemporaryDirectory(prefix="\u00fc" * 45) as directory:
        assert len(directory) < 80
        monkeypatch.setattr(probe, "_DIRECTORIES", (directory,))
        with grpc_service() as service, probing(service, clock) as prober:
            passes_again(prober, clock)
            assert [*Path(directory).iterdir()] == []


def test_probes_do_not_count_as_calls(tmp_path: Path) -> None:
    sections = {"audit": {"destination": f"file:{tmp_path}/audit"}, "limits": {"calls_per_second": 1, "calls_burst": 1}}
    clock = FakeClock()
    with grpc_service(None, sections) as service:
        before = generate_latest(service.registry)
        with probing(service, clock) as prober:
            for _ in range(5):
                passes_again(prober, clock)
        assert generate_latest(service.registry) == before
        service.await_audit_lines()
        assert (tmp_path / "audit").read_bytes() == b""


def test_the_path_of_the_probe_is_random() -> None:
    with grpc_service() as service:
        with pytest.raises(grpc.RpcError) as refused:
            service.send_to("/tokend.Probe/" + "0" * 32)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.usefixtures("no_spare_threads")
def test_stuck_threads_make_the_server_not_ready_and_later_not_live() -> None:
    clock = FakeClock()
    with grpc_service(threads=1) as service, probing(service, clock) as prober:
        readiness = Readiness(
            {"scripted": service.engine},
            service.server.set_serving,
            prober.reachability,
            timeouts=ProbeTimeouts(10, 60),
        )
        assert (readiness.check().ready, readiness.check_liveness().ready) == (True, True)
        with service.engine.holding() as hold:
            call = service.begin("LookupDeveloperIdentity")
            hold.entered.wait()
            _until_a_probe_waits(prober, clock)
            clock.advance(11)
            assert (readiness.check().ready, readiness.check_liveness().ready) == (False, True)
            clock.advance(50)
            assert (readiness.check().ready, readiness.check_liveness().ready) == (False, False)
            (problem,) = readiness.check_liveness().problems
            assert problem.startswith(f"grpc {service.address}: no call of tokend's own has passed for ")
        call.result()
        passes_again(prober, clock)
        assert (readiness.check().ready, readiness.check_liveness().ready) == (True, True)


def _until_a_probe_waits(prober: Prober, clock: FakeClock) -> None:
    """Running probes may still succeed."""
    while True:
        clock.advance(1)
        time.sleep(0.2)
        if all(each.answered for each in prober.reachability()):
            return


def test_a_stopped_listener_makes_the_server_neither_ready_nor_live() -> None:
    clock = FakeClock()
    with ExitStack() as opened:
        service = opened.enter_context(grpc_service())
        prober = opened.enter_context(probing(service, clock))
        service.server._servers[0].stop(0).wait()  # noqa: SLF001 - what no caller can do
        _until_a_probe_waits(prober, clock)
        clock.advance(61)
        readiness = Readiness({"scripted": service.engine}, service.server.set_serving, prober.reachability)
        assert (readiness.check().ready, readiness.check_liveness().ready) == (False, False)


@pytest.mark.parametrize("has_tls", [False, True])
def test_the_probe_passes_when_the_connection_limit_is_reached(
    tls: Callable[..., dict[str, object]], *, has_tls: bool
) -> None:
    clock = FakeClock()
    settings = tls(demands_certificates=False) if has_tls else {}
    with grpc_service(max_connections=1, **settings) as service:
        host, _, port = service.address.rpartition(":")
        with socket.create_connection((host, int(port)), TIMEOUT) as only:
            if not has_tls:
                only.recv(1)
            wait_until(lambda: _is_turned_away(service.address))
            with probing(service, clock) as prober:
                passes_again(prober, clock)


def _is_turned_away(address: str) -> bool:
    """Returns whether the server ends a new connection at once."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as newcomer:
        newcomer.settimeout(0.2)
        try:
            return newcomer.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing bars hosts from connecting")
def test_the_probe_passes_when_the_loopback_address_is_barred() -> None:
    clock = FakeClock()
    with grpc_service() as service, probing(service, clock) as prober:
        service.server._guard._bar(LOOPBACK, 3600)  # noqa: SLF001 - as a flood of a local user's calls does
        wait_until(lambda: not can_connect(service.address))
        for _ in range(3):
            passes_again(prober, clock)
        assert not can_connect(service.address)


@pytest.mark.parametrize("has_tls", [False, True])
def test_a_server_with_an_unresponsive_port_is_live_and_not_ready(
    tls: Callable[..., dict[str, object]], *, has_tls: bool
) -> None:
    clock = FakeClock()
    settings = tls(demands_certificates=False) if has_tls else {}
    with grpc_service(**settings) as service, socket.create_server(("127.0.0.1", 0)) as silent:
        target = Target("here", "{}:{}".format(*silent.getsockname()), has_tls, service.server._targets[0].private)  # noqa: SLF001
        path = service.server._probe.path  # noqa: SLF001
        prober = Prober([target], path, clock, call_timeout=TIMEOUT, connection_timeout=0.2, interval=0.01)
        prober.start()
        readiness = Readiness({"scripted": service.engine}, service.server.set_serving, prober.reachability)
        assert (readiness.check().ready, readiness.check_liveness().ready) == (False, True)
        clock.advance(1000)
        wait_until(lambda: all(each.answered == 0 for each in prober.reachability()))
        assert (readiness.check().ready, readiness.check_liveness().ready) == (False, True)
        prober.stop()


def test_http_readiness_and_grpc_health_agree() -> None:
    """HTTP probes and gRPC health have one source."""
    reaches = [Reachability("here", 0.0, 0.0)]
    with grpc_service() as service:
        readiness = Readiness(
            {"scripted": service.engine}, service.server.set_serving, lambda: reaches, timeouts=ProbeTimeouts(10, 60)
        )
        for reached, ready in ((0.0, True), (10.5, False), (0.0, True), (float("inf"), False)):
            reaches[:] = [Reachability("here", 0.0, reached)]
            assert readiness.check().ready is ready
            assert check_health(service.channel, "") == (SERVING if ready else NOT_SERVING)


def test_a_service_that_shuts_down_is_alive() -> None:
    readiness = Readiness({}, lambda _ready: None, lambda: [Reachability("here", 1000.0, 1000.0)])
    readiness.stop()
    assert readiness.check_liveness() == (True, [])
    assert readiness.check() == (False, ["shutting down"])


def test_no_thread_is_left() -> None:
    before = threading.active_count()
    with grpc_service() as service, probing(service, FakeClock()):
        pass
    wait_until(lambda: threading.active_count() <= before)


def test_a_plaintext_listener_fails_a_tls_probe() -> None:
    with grpc_service() as service:
        assert not accepts_connections(service.address, TIMEOUT, has_tls=True)


def test_a_tls_listener_passes_if_it_answers_the_start_of_a_handshake() -> None:
    """The listener sends nothing by itself, and ends no connection: gRPC's ends connections without a handshake."""
    with socket.create_server((LOOPBACK, 0)) as listener, ThreadPoolExecutor(1) as thread:

        def answered() -> bytes:
            connection, _ = listener.accept()
            with connection:
                hello = connection.recv(1)
                connection.sendall(hello)
                while connection.recv(4096):
                    pass
            return hello

        first = thread.submit(answered)
        assert accepts_connections("{}:{}".format(*listener.getsockname()), TIMEOUT, has_tls=True)
        assert first.result() == b"\x16"


def test_a_closed_port_fails_the_probe(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"[::1]:{port}", f"unix:{tmp_path}/none"):
        assert not accepts_connections(address, TIMEOUT, has_tls=False)
        assert not accepts_connections(address, TIMEOUT, has_tls=True)


def test_probes_of_a_listener_that_demands_certificates_log_nothing(
    tls: Callable[..., dict[str, object]], capfd: pytest.CaptureFixture[str]
) -> None:
    sections = {"policy": {"all": {"callers": ["*"], "pools": ["*"], "operations": ["*"]}}}
    clock = FakeClock()
    with grpc_service(None, sections, **tls(demands_certificates=True)) as service, probing(service, clock) as prober:
        for _ in range(5):
            passes_again(prober, clock)
    assert "Handshake failed" not in capfd.readouterr().err

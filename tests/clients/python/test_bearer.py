"""The client's own bearer token: read again for each call, never sent elsewhere in plaintext, and never shown."""

import traceback
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from tests.clients.python.bearer_server import bearer_server, call
from tests.clients.python.facades import OPTIONS, TIMEOUT, Facade

from tokend_client import BearerToken, Token, TokendError, TokenRequest, tls_credentials
from tokend_client.channel import channel_credentials
from tokend_client.testing import FakeTokendServer

TOKEN = "a.b-c_d~e+f/g=="

#: Not a token, because of its space.
MALFORMED = "s3cr3t t0k3n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\r\n", encoding="utf-8-sig")  # with a byte-order mark, as some editors write
    return path


def channel(target: str, bearer_token: BearerToken) -> grpc.Channel:
    secured = channel_credentials(target, None, bearer_token, plaintext=True)
    assert secured
    return grpc.secure_channel(target, secured, OPTIONS)


@pytest.mark.parametrize("target", ["127.0.0.1:{}", "localhost:{}", "dns:///localhost:{}", "ipv4:127.0.0.1:{}"])
def test_the_bearer_token_is_sent_within_this_machine(target: str, file: Path) -> None:
    with bearer_server() as orders:
        port = orders.address.rpartition(":")[2]
        with channel(target.format(port), file) as connected:
            call(connected)
        assert orders.seen == [f"Bearer {TOKEN}"]


def test_the_bearer_token_is_sent_to_a_unix_socket(file: Path, tmp_path: Path) -> None:
    with bearer_server(f"unix:{tmp_path}/s") as orders, channel(orders.address, file) as connected:
        call(connected)
        assert orders.seen == [f"Bearer {TOKEN}"]


def test_each_call_sends_the_current_bearer_token(file: Path) -> None:
    numbers = iter(range(2))
    with bearer_server() as orders:
        with channel(orders.address, file) as connected:
            call(connected)
            file.write_text("next", encoding="ascii")
            call(connected)
        with channel(orders.address, lambda: f"number-{next(numbers)}") as connected:
            call(connected)
            call(connected)
        assert orders.seen == [f"Bearer {token}" for token in (TOKEN, "next", "number-0", "number-1")]


def test_the_bearer_token_is_not_sent_to_another_machine_in_plaintext(facade_type: type[Facade], file: Path) -> None:
    with pytest.raises(ValueError, match="plaintext"):
        facade_type("tokend.example.test:50051", bearer_token=file)


def missing(file: Path) -> BearerToken:
    file.unlink()
    return file


def malformed(file: Path) -> BearerToken:
    file.write_text(MALFORMED, encoding="ascii")
    return file


def of_other_octets(file: Path) -> BearerToken:
    file.write_bytes(MALFORMED.encode() + b"\xff")
    return file


def empty(_file: Path) -> BearerToken:
    return lambda: " \n"


def two_lines(_file: Path) -> BearerToken:
    return lambda: MALFORMED.replace(" ", "\n")


@pytest.mark.parametrize("make", [missing, malformed, of_other_octets, empty, two_lines])
def test_a_call_without_a_token_fails_before_it_is_sent(
    make: Callable[[Path], BearerToken],
    facade_type: type[Facade],
    server: FakeTokendServer,
    file: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alice = TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "alice"})
    with facade_type(server.endpoint, bearer_token=make(file), timeout=TIMEOUT) as facade:
        with pytest.raises(TokendError) as caught:
            facade.call("get_token", request=alice)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        shown = f"{''.join(traceback.format_exception(caught.value))} {caught.value!r} {caplog.text}"
        assert not [part for part in MALFORMED.split() if part in shown]
        assert str(file) in shown or "the function" in shown
        assert server.requests == []

        if make not in {empty, two_lines}:
            file.write_text(TOKEN, encoding="ascii")
            issued: Token = facade.call("get_token", request=alice)
            assert issued.identity_id


@pytest.mark.parametrize("given", [(b"key", None), (None, b"certificate")])
def test_a_key_and_its_certificate_go_together(given: tuple[bytes | None, bytes | None]) -> None:
    with pytest.raises(ValueError, match="together"):
        tls_credentials(None, *given)

"""The SDS listeners: callers over TLS and unix sockets, limits, and failures of the store."""

import re
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import httpx
import jwt
import pytest
from tests.fakes.clock import FakeClock
from tests.mesh.listeners import CALLER, POOL_ID, TOKEN, Certificates, configuration, metric, serving
from tests.mesh.secret_streams import Stream, connection, delta, secrets_of

from tokend_server import app
from tokend_server.clock import SystemClock
from tokend_server.errors import ConfigError
from tokend_server.mesh import sds_server

A_DAY = 86_400


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def user_of(token: str) -> str:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    user: str = claims["amr"][-1]
    return user.removeprefix(f"login.example:{POOL_ID}:")


def own_token(certificates: Certificates) -> dict[str, Any]:
    return {**certificates.settings, "tokens": {TOKEN: {"identity_pool_id": POOL_ID}}}


def test_a_certificate_names_the_caller(certificates: Certificates, tmp_path: Path) -> None:
    with (
        serving(configuration(tmp_path, **own_token(certificates))) as service,
        certificates.connection(service.sds_addresses[0], certificates.client) as channel,
        Stream(channel, "DeltaSecrets") as stream,
    ):
        assert user_of(secrets_of(stream.ask(delta(TOKEN)))[TOKEN]) == CALLER


def test_a_client_without_a_certificate_is_disconnected(certificates: Certificates, tmp_path: Path) -> None:
    with (
        serving(configuration(tmp_path, **own_token(certificates))) as service,
        certificates.connection(service.sds_addresses[0], None) as channel,
        Stream(channel, "DeltaSecrets") as stream,
    ):
        with pytest.raises(grpc.RpcError) as caught:
            stream.receive()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_stream_ends_when_the_certificate_of_its_caller_expires(certificates: Certificates, tmp_path: Path) -> None:
    clock = FakeClock(time.time())
    with (
        serving(configuration(tmp_path, **own_token(certificates)), clock) as service,
        certificates.connection(service.sds_addresses[0], certificates.client) as channel,
        Stream(channel, "DeltaSecrets") as stream,
    ):
        stream.acknowledge(stream.ask(delta(TOKEN)))
        clock.advance(2 * A_DAY)
        with pytest.raises(grpc.RpcError) as caught:
            stream.receive()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "expired" in str(caught.value.details())


def test_new_files_are_for_new_connections(certificates: Certificates, tmp_path: Path) -> None:
    with serving(configuration(tmp_path, **own_token(certificates))) as service:
        certificates.renew()
        with (
            certificates.connection(service.sds_addresses[0], certificates.client) as channel,
            Stream(channel, "DeltaSecrets") as stream,
        ):
            assert user_of(secrets_of(stream.ask(delta(TOKEN)))[TOKEN]) == CALLER


def test_a_unix_socket_is_for_the_servers_user_and_group(tmp_path: Path) -> None:
    path = tmp_path / "sds.sock"
    with serving(configuration(tmp_path, listen=[f"unix:{path}"])) as service:
        assert path.stat().st_mode & 0o777 == 0o660
        with connection(service.sds_addresses[0]) as channel, Stream(channel, "DeltaSecrets") as stream:
            assert user_of(secrets_of(stream.ask(delta(TOKEN)))[TOKEN]) == "batch"


def test_a_caller_has_no_more_streams_than_its_limit(tmp_path: Path) -> None:
    with (
        serving(configuration(tmp_path, max_streams_of_caller=1)) as service,
        connection(service.sds_addresses[0]) as channel,
    ):
        with Stream(channel, "DeltaSecrets") as one:
            one.ask(delta(TOKEN))
            with Stream(channel, "DeltaSecrets") as two, pytest.raises(grpc.RpcError) as caught:
                two.ask(delta(TOKEN))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert not one.call.done()
        while metric(service, "tokend_sds_streams"):
            time.sleep(0.05)  # the server gives no event to await
        with connection(service.sds_addresses[0]) as other, Stream(other, "DeltaSecrets") as three:
            assert secrets_of(three.ask(delta(TOKEN)))


def test_a_taken_address_is_a_configuration_error(tmp_path: Path) -> None:
    with serving(configuration(tmp_path)) as service, pytest.raises(ConfigError) as caught:
        app.start(configuration(tmp_path, listen=[service.sds_addresses[0]]))
    assert "sds.listen: cannot listen on" in str(caught.value.problems)


def test_a_stream_gets_a_new_token_after_the_store_recovers(tmp_path: Path) -> None:
    clock = FakeClock()
    database = tmp_path / "tokend.db"
    with (
        serving(configuration(tmp_path), clock) as service,
        connection(service.sds_addresses[0]) as channel,
        Stream(channel, "DeltaSecrets") as stream,
    ):
        before = secrets_of(stream.ask(delta(TOKEN)))[TOKEN]
        database.rename(tmp_path / "away.db")
        clock.advance(300)
        while not metric(service, "tokend_sds_tokens_late"):
            time.sleep(0.05)  # another thread gives no event to await
        (tmp_path / "away.db").rename(database)
        clock.advance(60)
        after = secrets_of(stream.receive())[TOKEN]
    assert user_of(after) == user_of(before)
    assert after != before


class RacingClock(SystemClock):
    """A clock that jumps far ahead with each reading."""

    _readings = count(100, 100)

    @classmethod
    def monotonic(cls) -> float:
        return time.monotonic() + next(cls._readings)


def test_readiness_names_an_unresponsive_sds_listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(configuration(tmp_path)) as service:
        monkeypatch.setattr(sds_server, "SystemClock", RacingClock)
        answer = httpx.get(f"http://{service.ops_address}/readyz", trust_env=False)
        monkeypatch.undo()
    assert answer.status_code == 503
    assert re.search(
        rf"^sds {service.sds_addresses[0]}: no call of tokend's own has passed for \d+ s$", answer.text, re.MULTILINE
    )


def test_no_thread_is_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with serving(configuration(tmp_path)):
        names = {thread.name for thread in threading.enumerate()}
        assert "sds" in names
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not [name for name in left if name.startswith("sds")]


def test_without_the_extra_the_configuration_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokend_server.mesh.extra.find_spec", lambda _name: None)
    with pytest.raises(ConfigError) as caught:
        app.start(configuration(tmp_path))
    assert caught.value.problems == ["sds: needs the extra envoy: install tokend-server[envoy]"]

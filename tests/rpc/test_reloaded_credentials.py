"""The credentials of a TLS listener, without a server: when its files are read, and what is reported."""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import pytest
from tests.rpc.rotated_files import LOOPBACK, Rotated, replace_file

from tokend_server.rpc.tls import ReloadedCredentials
from tokend_server.tls_files import TlsGauges

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class GaugeValues:
    """The reports about the files, in order."""

    expires_at: list[float] = field(default_factory=list)
    stale: list[float] = field(default_factory=list)

    @property
    def gauges(self) -> TlsGauges:
        return TlsGauges(self.expires_at.append, self.stale.append, lambda: None)


def test_the_fetcher_does_not_call_grpc(rotated: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of gRPC's threads may be waiting for the fetcher, so it must not call gRPC."""
    fetchers: list[Callable[[], grpc.ServerCertificateConfiguration | None]] = []
    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", lambda _initial, fetcher, **_: fetchers.append(fetcher))
    ReloadedCredentials(rotated.files, "here", GaugeValues().gauges).port_credentials()
    for name in ("server", "insecure_channel", "secure_channel"):
        monkeypatch.delattr(grpc, name)
    rotated.rotate()
    assert fetchers[0]() is not None


def test_files_that_cannot_be_used_from_the_start_are_refused(rotated: Rotated) -> None:
    rotated.files.private_key.unlink()
    with pytest.raises(ValueError, match="No such file"):
        ReloadedCredentials(rotated.files, "here", GaugeValues().gauges)


def test_files_that_stay_as_they_are_are_read_once(rotated: Rotated) -> None:
    values = GaugeValues()
    reloaded = ReloadedCredentials(rotated.files, "here", values.gauges)
    for _ in range(3):
        reloaded.reload_if_changed()
    assert values == GaugeValues([rotated.files.read().expires_at.timestamp()], [0])


def test_each_change_is_reported_once(rotated: Rotated, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    values = GaugeValues()
    reloaded = ReloadedCredentials(rotated.files, "here", values.gauges)
    key = rotated.files.private_key.read_bytes()
    rotated.files.private_key.unlink()
    for _ in range(2):
        reloaded.reload_if_changed()
    replace_file(rotated.files.private_key, key)
    for _ in range(2):
        reloaded.reload_if_changed()
    assert values.stale == [0, 1, 0]
    assert len(values.expires_at) == 2
    assert [each.levelname for each in caplog.records] == ["ERROR", "INFO"]


def test_a_private_key_of_another_certificate_is_not_loaded(rotated: Rotated) -> None:
    values = GaugeValues()
    reloaded = ReloadedCredentials(rotated.files, "here", values.gauges)
    replace_file(rotated.files.private_key, rotated.authority.server(LOOPBACK).private_key)
    reloaded.reload_if_changed()
    assert values.stale == [0, 1]
    replace_file(rotated.files.private_key, rotated.served.private_key)
    reloaded.reload_if_changed()
    assert values.stale == [0, 1, 0]


def test_each_port_gets_a_new_certificate_configuration_once(rotated: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    fetchers: list[Callable[[], grpc.ServerCertificateConfiguration | None]] = []
    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", lambda _initial, fetcher, **_: fetchers.append(fetcher))
    reloaded = ReloadedCredentials(rotated.files, "here", GaugeValues().gauges)
    for _ in range(2):
        reloaded.port_credentials()
    for fetch in fetchers:
        assert fetch() is None  # gRPC has it already
    rotated.rotate()
    first, second = fetchers
    assert first() is not None
    assert first() is None
    assert second() is not None
    assert second() is None
    rotated.rotate()
    reloaded.reload_if_changed()  # the next handshake uses it, whoever has checked the files
    assert first() is not None
    replace_file(rotated.files.certificate, b"garbage")
    assert first() is None
    assert second() is not None


def test_a_rotation_is_reported_after_earlier_handshakes_have_begun(
    rotated: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetchers: list[Callable[[], grpc.ServerCertificateConfiguration | None]] = []
    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", lambda _initial, fetcher, **_: fetchers.append(fetcher))
    naps: list[float] = []
    ReloadedCredentials(rotated.files, "here", GaugeValues().gauges, sleep=naps.append).port_credentials()
    (fetch,) = fetchers
    assert fetch() is None
    assert naps == []
    rotated.rotate()
    assert fetch() is not None
    assert len(naps) >= 10
    assert sum(naps) == pytest.approx(0.05)


def test_log_records_contain_no_private_key(rotated: Rotated, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    reloaded = ReloadedCredentials(rotated.files, "here", GaugeValues().gauges)
    key = rotated.files.private_key.read_bytes()
    replace_file(rotated.files.certificate, key)
    replace_file(rotated.files.private_key, key[:-50])
    reloaded.reload_if_changed()
    assert caplog.records
    logged = str([vars(record) for record in caplog.records])
    assert not any(line in logged for line in key.decode().splitlines())

"""Certificates, keys and authorities change while clients call, and no call fails."""

import os
import signal
import time
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from tests.access.guarded_service import SPIFFE
from tests.access.site import (
    ADDRESS,
    AUTHORITIES,
    CERTIFICATE,
    KEY,
    Contents,
    Site,
    Write,
    contents_of,
    overwrite,
    rename,
    serving,
    swap,
)
from tests.support.authority import Authority, Identification
from tests.support.grpc_service import TIMEOUT
from tests.support.metric_samples import samples
from tests.support.server_process import ServerProcess

#: How many responses every client has received before the next change.
ENOUGH = 20


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def stale(server: ServerProcess) -> float:
    return metric(server, "tokend_tls_files_stale")


def metric(server: ServerProcess, name: str) -> float:
    text = httpx.get(f"{server.ops}/metrics", trust_env=False, verify=False, timeout=TIMEOUT).text
    (sample,) = samples(text, name)
    return sample.value


@pytest.mark.parametrize("write", [rename, overwrite, swap])
def test_no_call_fails_while_everything_is_replaced(tmp_path: Path, write: Write) -> None:
    site, second = Site(tmp_path, write), Authority("clients")
    with serving(site) as server, site.load(server) as load:
        load.wait_for_answers(ENOUGH)
        for _ in range(5):
            served = site.put_certificate()
            load.wait_for_answers(ENOUGH)
            assert site.served(server) == served.serial_number
        site.put({AUTHORITIES: site.first.certificate + second.certificate})
        load.wait_for_answers(ENOUGH)
        load.identification = second.client(uris=[SPIFFE])
        load.wait_for_answers(ENOUGH)
        site.put({AUTHORITIES: second.certificate})
        load.wait_for_answers(ENOUGH)
        assert stale(server) == 0
        assert metric(server, "tokend_tls_certificate_expiry_timestamp_seconds") == expiry(served)
    assert load.failures == []


def test_clients_of_a_removed_authority_are_rejected(site: Site) -> None:
    with serving(site) as server, site.load(server) as load:
        load.wait_for_answers(ENOUGH)
        site.put({AUTHORITIES: Authority("clients").certificate})
        load.wait_for_failures(ENOUGH)
    assert {failure.partition(":")[0] for failure in load.failures} <= {"UNAUTHENTICATED", "UNAVAILABLE"}


def expiry(identification: Identification) -> float:
    return x509.load_pem_x509_certificate(identification.certificate).not_valid_after_utc.timestamp()


def test_invalid_tls_files_leave_the_previous_files_in_use(site: Site) -> None:
    garbage: list[Contents] = [
        {CERTIFICATE: b"garbage"},
        {KEY: b"garbage"},
        {AUTHORITIES: b"garbage"},
        {CERTIFICATE: b"", KEY: b"", AUTHORITIES: b""},
        {KEY: site.servers.server(ADDRESS).private_key},
        {CERTIFICATE: site.servers.server(ADDRESS).certificate[:-100]},
    ]
    with serving(site) as server, site.load(server) as load:
        for bad in garbage:
            good = site.servers.server(ADDRESS)
            site.put({**contents_of(good), AUTHORITIES: site.first.certificate})
            assert site.served(server) == good.serial_number
            assert stale(server) == 0
            site.put(bad)
            load.wait_for_answers(ENOUGH)
            assert stale(server) == 1
            assert site.served(server) == good.serial_number
        site.put({**contents_of(good), AUTHORITIES: site.first.certificate})
        load.wait_for_answers(ENOUGH)
        assert stale(server) == 0
    assert load.failures == []
    complaints = [record for record in server.log if record["message"].startswith("TLS files cannot be used")]
    assert len(complaints) >= len(garbage)
    assert all(str(site.files) in record["problem"] for record in complaints)


def test_sighup_reloads_the_tls_files(site: Site) -> None:
    with serving(site) as server:
        assert stale(server) == 0
        site.put({KEY: b"garbage"})
        os.kill(server.pid, signal.SIGHUP)
        wait_until_stale(server, 1)
        site.put_certificate()
        os.kill(server.pid, signal.SIGHUP)
        wait_until_stale(server, 0)


def wait_until_stale(server: ServerProcess, value: float) -> None:
    """Repeats a request until the response is the expected one, since a handled signal is not visible otherwise."""
    give_up = time.monotonic() + TIMEOUT
    while stale(server) != value:
        assert time.monotonic() < give_up

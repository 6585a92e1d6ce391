"""Rotates the TLS files of a server under load, and reports the result."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from typing import NamedTuple

from tests.access.site import ADDRESS, AUTHORITIES, CERTIFICATE, Site, contents_of, serving
from tests.attacks.stage import Size
from tests.support.authority import Authority
from tests.support.server_process import ServerProcess

#: How many certificates take turns.
_CERTIFICATES = 16

#: Every so many rotations one fails, for a file that is broken.
_BROKEN_EVERY = 10

#: Rotations after which the size of the server counts as its initial size.
WARM = 100


class ServerLost(Exception):
    """Raised when a server is unreachable; its exit code is None if it runs."""

    def __init__(self, rotations: int, exit_code: int | None) -> None:
        super().__init__(f"lost at rotation {rotations}, exit code {exit_code}")


class Outcome(NamedTuple):
    """The results of a server.

    Attributes:
        rotations: The number of rotations so far.
        failures: The calls that failed.
        warm: The size of the server after `WARM` rotations, or after all if there were fewer.
        end: The size at the end.
    """

    rotations: int
    failures: list[str]
    warm: Size
    end: Size


def rotate(site: Site, times: int) -> Iterator[Outcome]:
    """Rotates this many times while clients call and others connect, and yields the results after each rotation.

    After each rotation a new connection must receive the new certificate.

    Raises:
        AssertionError: One received another.
        ServerLost: The server has ended, or accepts no connections.
    """
    served = [site.servers.server(ADDRESS) for _ in range(_CERTIFICATES)]
    both = site.first.certificate + Authority("clients").certificate
    authorities = cycle([both, site.first.certificate])
    with serving(site) as server, site.load(server) as load, _handshakes(site, server):
        warm = Size.of(server.pid)
        for number, identification in enumerate(islice(cycle(served), times), start=1):
            if number % _BROKEN_EVERY == 0:
                site.put({CERTIFICATE: b"broken"})
            site.put({**contents_of(identification), AUTHORITIES: next(authorities)})
            try:
                assert site.served(server) == identification.serial_number
            except OSError as error:
                raise ServerLost(number, server.exit_code) from error
            if number <= WARM:
                warm = Size.of(server.pid)
            yield Outcome(number, load.failures, warm, Size.of(server.pid))


@contextmanager
def _handshakes(site: Site, server: ServerProcess) -> Iterator[None]:
    (site.files / "ca.crt").write_bytes(site.servers.certificate)
    (site.files / "client.pem").write_bytes(site.client.certificate + site.client.private_key)
    host, _, port = server.endpoint.rpartition(":")
    arguments = [host, port, str(site.files / "ca.crt"), str(site.files / "client.pem")]
    process = subprocess.Popen([sys.executable, "-m", "tests.rotations.handshakes", *arguments], stdin=subprocess.PIPE)
    with process:
        try:
            yield
        finally:
            process.kill()

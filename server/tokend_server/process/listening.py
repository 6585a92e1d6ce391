"""Opens sockets on the configured addresses, in the same way for every listener, and reports errors."""

import errno
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

from tokend_server.config import host_and_port
from tokend_server.config.addresses import is_wildcard
from tokend_server.errors import ConfigError

#: Advice for operators about an address that is not available.
_ADVICE: Mapping[int, str] = {
    errno.EADDRINUSE: "is another server using it?",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "a port below 1024 needs the capability CAP_NET_BIND_SERVICE",
}

#: Errors of address families that this machine lacks; a name may have such addresses, such as localhost ::1.
_UNAVAILABLE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

#: The number of connections in the kernel's accept queue.
_BACKLOG = 512


class Endpoint(NamedTuple):
    """One address of a host.

    Attributes:
        family: AF_INET or AF_INET6.
        host: The address itself.
    """

    family: socket.AddressFamily
    host: str

    def open(self, port: int) -> socket.socket:
        """Listens on it; `::` listens on all addresses, IPv4 and IPv6.

        Raises:
            OSError: The process cannot listen on it.
        """
        return socket.create_server(
            (self.host, port), family=self.family, backlog=_BACKLOG, dualstack_ipv6=self.host == "::"
        )

    def with_port(self, port: int) -> str:
        """Returns HOST:PORT."""
        return f"[{self.host}]:{port}" if self.family is socket.AF_INET6 else f"{self.host}:{port}"


def endpoints(host: str) -> Sequence[Endpoint]:
    """Returns the addresses of a host in a setting.

    Raises:
        OSError: The name has no address.
    """
    if is_wildcard(host):
        ipv6 = socket.has_dualstack_ipv6()  # one socket for IPv4 and IPv6
        return [Endpoint(socket.AF_INET6, "::") if ipv6 else Endpoint(socket.AF_INET, "0.0.0.0")]  # noqa: S104
    if host == "localhost":  # RFC 6761, section 6.3
        return [Endpoint(socket.AF_INET, "127.0.0.1"), Endpoint(socket.AF_INET6, "::1")]
    if ":" in host:
        return [Endpoint(socket.AF_INET6, host)]  # with its zone, which getaddrinfo removes
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(Endpoint(family, str(address[0])) for family, _, _, _, address in found))


def with_port(address: str, port: int) -> str:
    """Returns an address with its actual port."""
    return f"{address.rpartition(':')[0]}:{port}"


def open_sockets(setting: str, address: str) -> list[socket.socket]:
    """Listens on `HOST:PORT`: on all addresses of the host, with one port.

    Args:
        setting: The setting with the address, for the error.
        address: HOST:PORT; port 0 selects a free port.

    Raises:
        ConfigError: The process cannot listen on the address; the text has the system's reason.
    """
    return list(_open(setting, address).values())


def usable_endpoints(setting: str, address: str) -> list[str]:
    """Returns the available addresses of `HOST:PORT`, as HOST:PORT with an IP address.

    Raises:
        ConfigError: As `open_sockets`.
    """
    opened = _open(setting, address)
    for each in opened.values():
        each.close()
    _, port = host_and_port(address)
    return [endpoint.with_port(port) for endpoint in opened]


def reachable_address(endpoint: str) -> str:
    """Returns the address at which this machine reaches an endpoint: a wildcard is not an address to connect to."""
    host, port = host_and_port(endpoint)
    return _loopback().with_port(port) if is_wildcard(host) else endpoint


def prepare_socket_path(setting: str, path: str) -> None:
    """Checks that a unix socket can be created, and removes the socket of a server that has ended.

    Raises:
        ConfigError: It cannot be created, or another server is using it; the text has the system's reason.
    """
    try:
        if _has_listener(path):
            raise ConfigError([f"{setting}: another server is using unix:{path}"])
        if os.path.lexists(path):
            os.unlink(path)  # noqa: PTH108 - Path would change some paths
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(path)
            os.unlink(path)  # noqa: PTH108
    except OSError as error:
        raise ConfigError([f"{setting}: cannot listen on unix:{path}: {error.strerror or error}"]) from error


def _loopback() -> Endpoint:
    """Returns the IPv4 loopback address, or the IPv6 one if there is no other."""
    first, second = endpoints("localhost")
    try:
        first.open(0).close()
    except OSError as error:
        if error.errno in _UNAVAILABLE:
            return second
    return first


def _open(setting: str, address: str) -> Mapping[Endpoint, socket.socket]:
    host, port = host_and_port(address)
    try:
        return _open_all(endpoints(host), port)
    except OSError as error:
        raise ConfigError([_problem(setting, address, error)]) from error


def _open_all(hosts: Sequence[Endpoint], port: int) -> Mapping[Endpoint, socket.socket]:
    lacking: OSError | None = None
    opened: dict[Endpoint, socket.socket] = {}
    with ExitStack() as undo:
        for each in hosts:
            try:
                opened[each] = undo.enter_context(closing(each.open(port)))
            except OSError as error:
                if len(hosts) == 1 or error.errno not in _UNAVAILABLE:
                    raise
                lacking = error
            else:
                port = port or opened[each].getsockname()[1]
        if lacking and not opened:
            raise lacking
        undo.pop_all()
    return opened


def _problem(setting: str, address: str, error: OSError) -> str:
    advice = _ADVICE.get(error.errno or 0)
    # socket.create_server adds the address to the text.
    reason = os.strerror(error.errno) if error.errno and not isinstance(error, socket.gaierror) else error.strerror
    return f"{setting}: cannot listen on {address}: {reason}" + (f"; {advice}" if advice else "")


def _has_listener(path: str) -> bool:
    """Returns whether a process listens on a unix socket, which gRPC would remove without an error.

    Raises:
        OSError: The check failed, or there is a file of another kind.
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116
            raise FileExistsError(errno.EEXIST, "there is a file of another kind")
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)
        result = probe.connect_ex(path)
    if result in {0, errno.EAGAIN}:  # EAGAIN: too many wait for it to accept them
        return True
    if result not in {errno.ECONNREFUSED, errno.ENOENT}:
        raise OSError(result, os.strerror(result))
    return False

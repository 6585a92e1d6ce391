"""Ports that are the same on each start."""

import socket

from hypothesis import given
from hypothesis import strategies as st

from tokend_server.cli.stable_ports import is_free, stable_addresses

LISTENERS = ("grpc", "issuer", "ops")


def port_of(address: str) -> int:
    host, _, port = address.partition(":")
    assert host == "127.0.0.1"
    return int(port)


@given(st.text())
def test_a_name_always_gets_the_same_distinct_ports(name: str) -> None:
    ports = [port_of(each) for each in stable_addresses(name, LISTENERS, lambda _port: True)]
    assert ports == [port_of(each) for each in stable_addresses(name, LISTENERS, lambda _port: True)]
    assert len(set(ports)) == len(LISTENERS)
    assert all(15_000 <= port < 32_000 for port in ports)


def test_different_names_have_different_ports() -> None:
    ports = [set(stable_addresses(name, LISTENERS, lambda _port: True)) for name in ("/a/tokend.db", "/b/tokend.db")]
    assert ports[0].isdisjoint(ports[1])


def test_only_a_listener_whose_port_is_in_use_gets_another_port() -> None:
    grpc, issuer, ops = stable_addresses("name", LISTENERS, lambda _port: True)
    others = stable_addresses("name", LISTENERS, lambda port: port != port_of(issuer))
    assert (others[0], others[2]) == (grpc, ops)
    assert others[1] != issuer
    assert stable_addresses("name", LISTENERS, lambda port: port != port_of(issuer)) == others


def test_without_free_ports_the_system_chooses() -> None:
    assert stable_addresses("name", LISTENERS, lambda _port: False) == ["127.0.0.1:0"] * len(LISTENERS)


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not is_free(taken.getsockname()[1])

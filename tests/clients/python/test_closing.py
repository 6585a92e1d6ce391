from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.clients.python.asking import failure, refused
from tests.clients.python.facades import TIMEOUT, AsyncFacade, Facade

from tokend_client import Closed, TokenRequest
from tokend_client.testing import FakeTokendServer


def test_closing_the_cache_fails_waiting_callers(facade: Facade, server: FakeTokendServer, alice: TokenRequest) -> None:
    server.pause()
    waiting = [facade.begin(alice) for _ in range(3)]
    source = facade.source(alice)
    server.wait_for_calls(1)
    facade.close_cache()
    assert {type(failure(future)) for future in waiting} == {Closed}
    assert isinstance(failure(source.token_future()), Closed)
    assert isinstance(refused(facade, alice), Closed)
    facade.close_cache()


def test_closing_the_cache_removes_the_token_of_a_source(facade: Facade, alice: TokenRequest) -> None:
    source = facade.source(alice)
    facade.ask(alice)
    facade.close_cache()
    assert isinstance(failure(source.token_future()), Closed)
    assert source.snapshot is None


def test_closing_the_client_ends_calls_and_refreshes(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest, caplog: pytest.LogCaptureFixture
) -> None:
    users = [replace(alice, logins={server.developer_provider_name: str(number)}) for number in range(40)]
    server.pause()
    waiting = [facade.source(user).token_future() for user in users]
    server.wait_for_calls(32)
    with ThreadPoolExecutor() as threads:
        call = threads.submit(facade.call, "get_token", request=alice)
        server.wait_for_calls(33)
        if isinstance(facade, AsyncFacade):
            facade.run(facade.client.close())
        else:
            facade.client.close()
        assert isinstance(call.exception(TIMEOUT), Closed)
    assert {type(failure(future)) for future in waiting} == {Closed}
    assert not caplog.records


def test_a_closed_client_is_reported_as_closed(facade: Facade, alice: TokenRequest) -> None:
    if isinstance(facade, AsyncFacade):
        facade.run(facade.client.close())
    else:
        facade.client.close()
    assert isinstance(refused(facade, alice), Closed)
    with pytest.raises(Closed):
        facade.call("get_token", request=alice)

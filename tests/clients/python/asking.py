"""Requests tokens from both clients, over real gRPC, for tests of the caching policy in clients/README.md."""

from typing import TYPE_CHECKING

import pytest
from tests.clients.python.facades import TIMEOUT, Facade
from tests.fakes.clock import FakeClock

from tokend_client import Token, TokendError, TokenRequest

if TYPE_CHECKING:
    from concurrent.futures import Future

LIFE = 900
UNTIL_REFRESH = 300


def warm(facade: Facade, request: TokenRequest, clock: FakeClock, seconds: float) -> Token:
    """Returns a token that is then this many seconds old."""
    token = facade.ask(request)
    clock.advance(seconds)
    return token


def failure(future: "Future[Token]") -> TokendError:
    with pytest.raises(TokendError) as caught:
        future.result(TIMEOUT)
    return caught.value


def refused(facade: Facade, request: TokenRequest) -> TokendError:
    return failure(facade.begin(request))

"""The parts in the configuration are built."""

from typing import get_args

import pytest
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock

from tokend_server.access.build import build_access_control
from tokend_server.config import Config, Listener
from tokend_server.config.listeners import Authenticator
from tokend_server.metrics import Metrics


@pytest.mark.parametrize("name", get_args(Authenticator))
def test_every_authenticator_that_can_be_configured_is_built(name: Authenticator) -> None:
    access = build_access_control(Config(), Metrics(CollectorRegistry()), FakeClock())
    listener = Listener.model_construct(address="unix:/tokend.sock", identify_by=[name], trusted_proxies=[])
    ((built, authenticator),) = access.authenticators(listener)
    assert built == name
    assert callable(authenticator)

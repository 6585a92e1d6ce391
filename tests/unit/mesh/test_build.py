import sys

import pytest
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock

from tokend_server.access.authorization import Policy
from tokend_server.config import EMBEDDED_POOL_ID, Config
from tokend_server.errors import ConfigError
from tokend_server.mesh.build import Mesh
from tokend_server.mesh.extra import extra_problems
from tokend_server.metrics import Metrics
from tokend_server.rpc.developer_identity import DeveloperIdentityService

MAPPING = {"identity_pool_id": EMBEDDED_POOL_ID, "user": {"metadata": "payload.sub"}}
WITH_EXT_AUTHZ = Config.model_validate({"ext_authz": {"mappings": {"web": MAPPING}}})

PROBLEM = "ext_authz: needs the extra envoy: install tokend-server[envoy]"


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tokend_envoy_proto", raising=False)
    monkeypatch.setattr(sys, "path", [])


def mesh(config: Config) -> Mesh:
    return Mesh(config, lambda _pool, _key_id: True, Metrics(CollectorRegistry()), FakeClock())


def test_configured_services_are_served() -> None:
    operations = DeveloperIdentityService({}, Policy((), ()), FakeClock())
    assert [each.descriptor.full_name for each in mesh(WITH_EXT_AUTHZ).services(operations)] == [
        "envoy.service.auth.v3.Authorization"
    ]
    assert mesh(Config()).services(operations) == ()


@pytest.mark.usefixtures("without_the_extra")
def test_a_missing_extra_is_reported() -> None:
    assert extra_problems(WITH_EXT_AUTHZ) == [PROBLEM]
    assert extra_problems(Config()) == []
    with pytest.raises(ConfigError, match=r"tokend-server\[envoy\]"):
        mesh(WITH_EXT_AUTHZ).services(DeveloperIdentityService({}, Policy((), ()), FakeClock()))

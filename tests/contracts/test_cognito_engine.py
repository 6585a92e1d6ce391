"""The Cognito engine with real boto3 and real HTTP: in front of our own engine with Cognito's protocol, and of moto."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config as BotoConfig
from moto.server import ThreadedMotoServer
from tests.contracts.engine_contract import EngineContract, Subject
from tests.fakes.cognito_upstream import ACCESS_KEY, CognitoUpstream
from tests.support.cognito_engine import cognito_engine
from tests.support.local_engine import DEVELOPER, POOL, LocalEngineUnderTest

from tokend_server.clock import Deadline, SystemClock
from tokend_server.engine import Engine
from tokend_server.errors import EngineMisconfigured, EngineUnavailable
from tokend_server.model import LookupRequest, Secret, TokenRequest

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "as it comes": {},
    "sharing nothing": {"single_flight": False},
    "reusing tokens": {"reuse_tokens": True, "serve_stale": True},
}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY.aws_access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ACCESS_KEY.aws_secret_access_key)


class BeforeLocalEngine(Subject):
    identity_pool_id = POOL
    developer_provider_name = DEVELOPER
    unknown_identity_id = "eu-west-1:ffffffff"

    def __init__(self, engine: Engine, behind: LocalEngineUnderTest) -> None:
        self.engine = engine
        self._behind = behind

    def create_guest(self) -> str:
        return self._behind.guest()


class TestBeforeLocalEngine(EngineContract):
    @pytest.fixture(params=SETTINGS)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
        behind = LocalEngineUnderTest(tmp_path)
        settings = {"requests_per_second": 0, **SETTINGS[request.param]}
        with (
            CognitoUpstream(behind.clock, engines={POOL: behind.engine}) as upstream,
            cognito_engine(upstream.url, POOL, DEVELOPER, behind.clock, **settings) as engine,
        ):
            yield BeforeLocalEngine(engine, behind)
        behind.close()


#: The features that moto 5.2.5 lacks, by the tests that need them.
NO_JWT = "moto's token is REGION:UUID and no JWT, so nothing can be read from it"
NO_LOOKUP = "moto has no LookupDeveloperIdentity"
NO_MERGE = "moto has no MergeDeveloperIdentities"
NO_CHECKS = "moto accepts any identity id and any login provider"

GAPS: Mapping[str, Sequence[str]] = {
    NO_JWT: (
        "test_a_new_user_gets_an_identity_of_the_pools_region",
        "test_a_user_keeps_its_identity",
        "test_different_users_have_different_identities",
        "test_similar_user_identifiers_are_different_users",
        "test_any_text_names_a_user",
        "test_a_token_expires_after_the_requested_time",
        "test_a_token_is_to_be_replaced_at_a_third_of_its_life",
        "test_the_key_id_matches_the_kid_header_of_the_token",
        "test_a_guest_becomes_the_user_and_keeps_its_id",
        "test_an_identity_can_have_several_users",
        "test_a_user_may_name_its_own_identity",
        "test_a_user_of_one_identity_is_not_linked_to_another",
        "test_lookup_by_user_and_by_identity_agree",
        "test_lookup_of_a_pair_confirms_it",
        "test_lookup_of_a_wrong_pair_conflicts",
        "test_pages_show_every_user_once",
        "test_a_forged_page_token_is_invalid",
        "test_merge_moves_the_source_user",
        "test_merge_disables_the_source_identity",
        "test_merge_is_idempotent",
        "test_merge_of_an_unknown_user_finds_nothing",
        "test_an_unlinked_user_is_a_new_user",
        "test_an_identity_without_logins_is_disabled",
        "test_unlink_twice_finds_nothing",
        "test_unlink_from_the_wrong_identity_conflicts",
        "test_unlink_needs_the_pools_provider",
    ),
    NO_LOOKUP: (
        "test_a_refused_call_changes_nothing",
        "test_lookup_of_nothing_is_invalid",
        "test_lookup_of_the_unknown_finds_nothing",
        "test_an_expired_deadline_changes_nothing",
    ),
    NO_MERGE: ("test_merge_needs_the_pools_provider",),
    NO_CHECKS: (
        "test_an_unknown_identity_is_not_found",
        "test_logins_need_the_developer_provider",
    ),
}


class BeforeMoto(Subject):
    developer_provider_name = DEVELOPER

    def __init__(self, engine: Engine, identity_pool_id: str, endpoint_url: str) -> None:
        self.engine = engine
        self.identity_pool_id = identity_pool_id
        self.unknown_identity_id = f"{identity_pool_id.partition(':')[0]}:ffffffff-0000-4000-8000-000000000000"
        self._endpoint_url = endpoint_url

    def create_guest(self) -> str:
        client = boto3.client(
            "cognito-identity",
            region_name=self.identity_pool_id.partition(":")[0],
            endpoint_url=self._endpoint_url,
            config=BotoConfig(signature_version=UNSIGNED),
        )
        try:
            guest: str = client.get_id(IdentityPoolId=self.identity_pool_id)["IdentityId"]
        finally:
            client.close()
        return guest


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class TestBeforeMoto(EngineContract):
    gaps: ClassVar[Mapping[str, str]] = {name: reason for reason, names in GAPS.items() for name in names}

    def test_a_malformed_token_of_moto_is_not_returned(self, subject: Subject) -> None:
        request = TokenRequest(subject.identity_pool_id, {DEVELOPER: Secret("alice")})
        with pytest.raises(EngineMisconfigured, match="Cognito's response could not be parsed"):
            subject.engine.get_open_id_token_for_developer_identity(request, Deadline(SystemClock()))

    def test_an_operation_that_moto_lacks_is_not_the_callers_fault(self, subject: Subject) -> None:
        request = LookupRequest(subject.identity_pool_id, developer_user_identifier=Secret("alice"))
        with pytest.raises(EngineUnavailable):
            subject.engine.lookup_developer_identity(request, Deadline(SystemClock()))

    @pytest.fixture
    def subject(self, moto: str) -> Iterator[Subject]:
        client = boto3.client("cognito-identity", region_name="eu-west-1", endpoint_url=moto)
        pool = client.create_identity_pool(
            IdentityPoolName="contract", AllowUnauthenticatedIdentities=True, DeveloperProviderName=DEVELOPER
        )
        client.close()
        identity_pool_id = pool["IdentityPoolId"]
        with cognito_engine(moto, identity_pool_id, DEVELOPER, SystemClock(), max_attempts=1) as engine:
            yield BeforeMoto(engine, identity_pool_id, moto)

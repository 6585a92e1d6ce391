import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import botocore.session
import pytest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError, ProfileNotFound
from botocore.utils import ContainerMetadataFetcher
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_upstream import ACCESS_KEY, AccessKey
from tests.fakes.scripted_upstream import TIMEOUT
from tests.fakes.sts import Answered, Assumed, Refused, StsDouble
from tests.support.aws_environment import give_credentials, without_aws_settings

from tokend_server.aws import transport
from tokend_server.aws.credentials import BackgroundCredentials, chain_credentials, role_credentials
from tokend_server.aws.transport import CURRENT_UPSTREAM_CALL, UpstreamCall
from tokend_server.clock import Deadline, SystemClock
from tokend_server.engines.cognito.faults import to_contract_error
from tokend_server.errors import EngineCredentialsRejected, EngineMisconfigured, EngineUnavailable, TokendError
from tokend_server.model import Operation

ROLE = "arn:aws:iam::123456789012:role/tokend"
ROLE_KEY = AccessKey("ASIAIOSFODNN7EXAMPLE", "role-secret", "role-session")

#: Seconds between two searches.
PAUSE = 5.0


class Chain:
    """A source where credentials may appear later."""

    def __init__(self) -> None:
        self.found: Credentials | None = None
        self.problem: Exception | None = None
        self.searches = 0

    def __call__(self) -> Credentials | None:
        self.searches += 1
        if self.problem:
            raise self.problem
        return self.found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def background(chain: Chain, clock: FakeClock) -> BackgroundCredentials:
    return BackgroundCredentials(chain, clock)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    without_aws_settings(monkeypatch, tmp_path)
    return monkeypatch


@pytest.fixture
def sts(environment: pytest.MonkeyPatch) -> Iterator[StsDouble]:
    with StsDouble(Assumed(ROLE_KEY)) as running:
        environment.setenv("AWS_ENDPOINT_URL_STS", running.url)
        give_credentials(environment, ACCESS_KEY)
        yield running


@pytest.fixture(autouse=True)
def _in_a_call_with_a_long_deadline() -> Iterator[None]:
    with a_call(TIMEOUT):
        yield


@contextmanager
def a_call(seconds: float) -> Iterator[None]:
    """Runs as a call with this much time."""
    clock = SystemClock()
    deadline = Deadline(clock, clock.monotonic() + seconds)
    token = CURRENT_UPSTREAM_CALL.set(UpstreamCall(Operation.LOOKUP_DEVELOPER_IDENTITY, deadline))
    try:
        yield
    finally:
        CURRENT_UPSTREAM_CALL.reset(token)


def of_role(clock: FakeClock) -> Credentials:
    session = botocore.session.Session()
    config = Config(retries={"mode": "standard", "total_max_attempts": 1})
    return role_credentials(session, ROLE, "us-east-1", config, clock)


def converted_error(credentials: Credentials) -> TokendError | None:
    """The contract's error for unavailable credentials."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - classified by the table of faults
        credentials.get_frozen_credentials()
    return to_contract_error(caught.value, (), "us-east-1:0")


def test_credentials_are_not_searched_before_their_first_use(chain: Chain, clock: FakeClock) -> None:
    BackgroundCredentials(chain, clock)
    assert chain.searches == 0


def test_found_credentials_are_cached(background: BackgroundCredentials, chain: Chain, clock: FakeClock) -> None:
    chain.found = Credentials("id", "secret", "session")
    for _ in range(3):
        found = background.get_frozen_credentials()
        assert (found.access_key, found.secret_key, found.token) == ("id", "secret", "session")
        clock.advance(1000)
    assert chain.searches == 1


def test_missing_credentials_are_searched_again_after_a_pause(
    background: BackgroundCredentials, chain: Chain, clock: FakeClock
) -> None:
    with pytest.raises(NoCredentialsError):
        background.get_frozen_credentials()
    chain.found = Credentials("id", "secret")
    clock.advance(PAUSE)
    assert background.get_frozen_credentials().access_key == "id"


def test_missing_credentials_are_not_searched_again_within_the_pause(
    background: BackgroundCredentials, chain: Chain, clock: FakeClock
) -> None:
    for step in (0.0, PAUSE - 0.5, 0.5, 0.0):
        clock.advance(step)
        with pytest.raises(NoCredentialsError):
            background.get_frozen_credentials()
    assert chain.searches == 2


def test_a_failed_search_is_reported_until_a_later_one_succeeds(
    background: BackgroundCredentials, chain: Chain, clock: FakeClock
) -> None:
    chain.problem = ProfileNotFound(profile="p")
    with pytest.raises(ProfileNotFound):
        background.get_frozen_credentials()
    chain.problem, chain.found = None, Credentials("id", "secret")
    clock.advance(PAUSE)
    assert background.get_frozen_credentials().access_key == "id"


def test_many_threads_search_once(chain: Chain, clock: FakeClock) -> None:
    searching, go_on = threading.Event(), threading.Event()
    chain.found = Credentials("id", "secret")

    def search() -> Credentials | None:
        searching.set()
        assert go_on.wait(TIMEOUT)
        return chain()

    background = BackgroundCredentials(search, clock)
    with ThreadPoolExecutor(5) as threads:
        found = [threads.submit(background.get_frozen_credentials) for _ in range(5)]
        assert searching.wait(TIMEOUT)
        go_on.set()
        assert {each.result(TIMEOUT).access_key for each in found} == {"id"}
    assert chain.searches == 1


def test_the_default_credential_chain_of_boto3_is_searched_again(
    environment: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    credentials = chain_credentials(botocore.session.Session(), clock)
    assert isinstance(converted_error(credentials), EngineCredentialsRejected)
    give_credentials(environment, ACCESS_KEY)
    clock.advance(PAUSE)
    assert credentials.get_frozen_credentials().access_key == ACCESS_KEY.aws_access_key_id


def test_a_role_is_assumed_with_the_available_credentials(sts: StsDouble, clock: FakeClock) -> None:
    found = of_role(clock).get_frozen_credentials()
    assert (found.access_key, found.secret_key, found.token) == ROLE_KEY
    ((parameters, signature),) = sts.requests
    assert (parameters["Action"], parameters["RoleArn"]) == ("AssumeRole", ROLE)
    assert parameters["RoleSessionName"] == "tokend"
    assert f"Credential={ACCESS_KEY.aws_access_key_id}/" in signature
    assert "/us-east-1/sts/aws4_request" in signature


def test_a_role_is_assumed_again_only_before_it_expires(sts: StsDouble, clock: FakeClock) -> None:
    credentials = of_role(clock)
    sts.answer = Assumed(ROLE_KEY, life=30)
    credentials.get_frozen_credentials()
    sts.answer = Assumed(AccessKey("ASIASECOND", "second", "second"))
    for _ in range(3):
        assert credentials.get_frozen_credentials().access_key == "ASIASECOND"
    assert len(sts.requests) == 2


def test_expiring_credentials_are_not_used_after_their_renewal(
    sts: StsDouble, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class RenewAtOnce(threading.Thread):
        def start(self) -> None:
            if self.name == "credentials":
                self.run()
            else:
                super().start()

    credentials = of_role(clock)
    sts.answer = Assumed(ROLE_KEY, life=30)
    credentials.get_frozen_credentials()
    sts.answer = Assumed(AccessKey("ASIASECOND", "second", "second"))
    monkeypatch.setattr(threading, "Thread", RenewAtOnce)
    assert credentials.get_frozen_credentials().access_key == "ASIASECOND"


@pytest.mark.parametrize("answer", [Refused("AccessDenied"), Refused("ServiceUnavailable", 503), None])
def test_no_call_waits_for_sts_while_the_role_credentials_are_valid(
    sts: StsDouble, clock: FakeClock, answer: Refused | None
) -> None:
    credentials = of_role(clock)
    sts.answer = Assumed(ROLE_KEY, life=300)
    credentials.get_frozen_credentials()
    sts.answer = answer
    for _ in range(3):
        assert credentials.get_frozen_credentials().access_key == ROLE_KEY.aws_access_key_id
    sts.wait_for_requests(2)


def test_no_call_waits_for_sts_beyond_its_own_time(sts: StsDouble, clock: FakeClock) -> None:
    sts.answer = None
    credentials = of_role(clock)
    for _ in range(2):
        with a_call(0.05):
            assert isinstance(converted_error(credentials), EngineUnavailable)
    sts.wait_for_requests(1)
    with a_call(0.05):
        assert isinstance(converted_error(credentials), EngineUnavailable)
    assert len(sts.requests) == 1


def test_role_credentials_about_to_expire_are_not_used(sts: StsDouble, clock: FakeClock) -> None:
    credentials = of_role(clock)
    sts.answer = Assumed(ROLE_KEY, life=30)
    credentials.get_frozen_credentials()
    sts.answer = Refused("AccessDenied")
    assert isinstance(converted_error(credentials), EngineCredentialsRejected)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Refused("AccessDenied"), EngineCredentialsRejected),
        (Refused("InvalidClientTokenId"), EngineCredentialsRejected),
        (Refused("ValidationError", 400), EngineCredentialsRejected),
        (Refused("NewError", 400), EngineCredentialsRejected),
        (Refused("Throttling", 400), EngineUnavailable),
        (Refused("ServiceUnavailable", 503), EngineUnavailable),
        (Assumed(ROLE_KEY, life=-60), EngineCredentialsRejected),
    ],
    ids=lambda each: getattr(each, "code", None) or type(each).__name__,
)
def test_failures_to_assume_a_role_are_reported(
    sts: StsDouble, clock: FakeClock, answer: Refused | Assumed, error: type[TokendError]
) -> None:
    sts.answer = answer
    assert type(converted_error(of_role(clock))) is error


NOT_NOW = "The service's own AWS credentials cannot be renewed now."
NOT_STS = Answered(200, "<html><body>Please log in")
NO_RESULT = Answered(200, '<other xmlns="https://sts.amazonaws.com/doc/2011-06-15/"/>')


@pytest.mark.parametrize("answer", [NOT_STS, NO_RESULT], ids=["html", "no result"])
def test_a_response_that_is_not_from_sts_is_not_blamed_on_cognito(
    sts: StsDouble, clock: FakeClock, answer: Answered
) -> None:
    sts.answer = answer
    error = converted_error(of_role(clock))
    assert isinstance(error, EngineMisconfigured)
    assert error.text == "The service's own AWS credentials cannot be renewed there."
    assert "AWS_ENDPOINT_URL_STS" in error.advice


def test_a_response_above_the_size_limit_is_a_configuration_error(
    sts: StsDouble, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, body = Assumed(ROLE_KEY).answer("AssumeRole")
    sts.answer = Answered(status, body + " " * 2**16)
    monkeypatch.setattr(transport, "MAX_RESPONSE_BYTES", 2**14)
    assert isinstance(converted_error(of_role(clock)), EngineMisconfigured)


def test_an_unreachable_sts_is_not_blamed_on_cognito(environment: pytest.MonkeyPatch, clock: FakeClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        environment.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{server.getsockname()[1]}")
    give_credentials(environment, ACCESS_KEY)
    error = converted_error(of_role(clock))
    assert isinstance(error, EngineUnavailable)
    assert error.text == NOT_NOW


def of_container(url: str, environment: pytest.MonkeyPatch, clock: FakeClock) -> Credentials:
    """The credentials of an ECS task or of an EKS Pod Identity."""
    environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/v1/credentials")
    environment.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    return chain_credentials(botocore.session.Session(), clock)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, EngineCredentialsRejected),
        (404, EngineCredentialsRejected),
        (429, EngineUnavailable),
        (500, EngineUnavailable),
        (503, EngineUnavailable),
    ],
)
def test_failures_of_container_credentials_are_reported(
    environment: pytest.MonkeyPatch, clock: FakeClock, status: int, error: type[TokendError]
) -> None:
    with StsDouble(Answered(status, '{"message": "Received non 200 response 404 from container metadata"}')) as agent:
        found = converted_error(of_container(agent.url, environment, clock))
    assert type(found) is error
    assert isinstance(found, EngineCredentialsRejected) or found.text == NOT_NOW


def test_an_unreachable_container_credentials_agent_is_a_temporary_error(
    environment: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    error = converted_error(of_container(url, environment, clock))
    assert isinstance(error, EngineUnavailable)
    assert error.text == NOT_NOW


def test_an_empty_token_file_is_not_the_callers_fault(
    environment: pytest.MonkeyPatch, clock: FakeClock, tmp_path: Path
) -> None:
    (token := tmp_path / "token").touch()  # as if it is being replaced
    environment.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    environment.setenv("AWS_ROLE_ARN", ROLE)
    environment.setenv("AWS_REGION", "us-east-1")
    error = converted_error(chain_credentials(botocore.session.Session(), clock))
    assert isinstance(error, EngineCredentialsRejected)
    assert "web identity token file" in error.advice


def test_a_refused_role_is_assumed_once_sts_allows_it(sts: StsDouble, clock: FakeClock) -> None:
    credentials = of_role(clock)
    sts.answer = Refused("AccessDenied")
    assert isinstance(converted_error(credentials), EngineCredentialsRejected)
    sts.answer = Assumed(ROLE_KEY)
    assert credentials.get_frozen_credentials().access_key == ROLE_KEY.aws_access_key_id


def test_a_role_cannot_be_assumed_without_credentials(environment: pytest.MonkeyPatch, clock: FakeClock) -> None:
    del environment
    assert isinstance(converted_error(of_role(clock)), EngineCredentialsRejected)


def test_without_a_thread_a_call_searches_credentials_itself(
    background: BackgroundCredentials, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    chain.found = Credentials("id", "secret", "session")
    monkeypatch.setattr(threading.Thread, "start", start)
    assert background.get_frozen_credentials().access_key == "id"

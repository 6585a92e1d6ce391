"""The rate and the retries of reading a pool, and inconsistent pages."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_pool import CognitoPool, Listed
from tests.fakes.cognito_script import Body
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.support.aws_environment import give_credentials, without_aws_settings

from tokend_server.config import Cognito
from tokend_server.engines.cognito.pool_reading import PoolReader, pool_client
from tokend_server.errors import EngineMisconfigured, TooManyRequests
from tokend_server.model import Identity

POOL = "eu-west-1:0a1b2c3d-0000-4000-8000-00000000000a"
PROVIDER = "login.example.test"
THROTTLED = Body(b'{"__type": "TooManyRequestsException", "message": "Rate exceeded"}', 400)


class Reader:
    """A reading whose clock is moved only by its own waits."""

    def __init__(self, cognito: CognitoPool) -> None:
        self.slept: list[float] = []
        self._clock = FakeClock()
        settings = Cognito.model_validate({"endpoint_url": cognito.url, "max_attempts": 1})
        self.client = pool_client(settings, "eu-west-1", 2.0, self._clock, self._sleep)

    def read(self, progress: Callable[[int], None] = lambda _count: None) -> list[object]:
        reading = PoolReader(self.client, POOL, POOL, PROVIDER)
        return list(reading.identities(lambda _id, _date: False, progress))

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._clock.advance(seconds)


@pytest.fixture
def cognito(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CognitoPool]:
    without_aws_settings(monkeypatch, tmp_path)
    give_credentials(monkeypatch, ACCESS_KEY)
    with CognitoPool(POOL, PROVIDER) as cognito:
        cognito.identities = {f"eu-west-1:{number:02x}": Listed([f"user-{number}"]) for number in range(130)}
        yield cognito


@pytest.fixture
def reader(cognito: CognitoPool) -> Iterator[Reader]:
    reader = Reader(cognito)
    yield reader
    reader.client.close()


def test_all_pages_are_read_below_the_rate(cognito: CognitoPool, reader: Reader) -> None:
    read = reader.read()
    assert [each.identity_id for each in read if isinstance(each, Identity)] == list(cognito.identities)
    assert cognito.count("ListIdentities") == 6
    assert sum(reader.slept) >= 129 / 2.0


def test_identities_have_the_dates_of_cognito(reader: Reader) -> None:
    first = reader.read()[0]
    assert isinstance(first, Identity)
    assert (first.creation_date, first.last_modified_date) == (1_700_000_000, 1_700_000_100)


def test_throttled_requests_are_retried(cognito: CognitoPool, reader: Reader) -> None:
    cognito.script([THROTTLED] * 5)
    assert len(reader.read()) == 130
    assert [pause for pause in reader.slept if pause >= 1.0] == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_throttling_without_end_ends_the_reading(cognito: CognitoPool, reader: Reader) -> None:
    cognito.always(THROTTLED)
    with pytest.raises(TooManyRequests):
        reader.read()
    assert len(cognito.requests) == 6


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"Identities": [{}]}',
        b'{"Identities": [{"IdentityId": "eu-west-1:0a"}]}',
        b'{"Identities": [], "NextToken": "1"}',
    ],
)
@pytest.mark.timeout(60)  # a list with a cycle
def test_invalid_lists_of_identities_are_rejected(cognito: CognitoPool, reader: Reader, body: bytes) -> None:
    cognito.always(Body(body))
    with pytest.raises(EngineMisconfigured):
        reader.read()


def test_an_identity_created_during_the_reading_is_not_disabled(cognito: CognitoPool, reader: Reader) -> None:
    def create_at_the_end(count: int) -> None:
        if count == 130:
            cognito.identities["eu-west-1:ff"] = Listed(["new"])

    read = reader.read(create_at_the_end)
    assert len(read) == 130
    assert not any(each.disabled for each in read if isinstance(each, Identity))

"""DynamoDB's failures as seen by callers and operators of tokend, and the timeouts of calls."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import NamedTuple

import pytest
from botocore import exceptions, parsers
from botocore.session import Session
from tests.contracts.store_contract import POOL, login
from tests.dynamodb.conftest import Opened, configuration
from tests.fakes.aws_codes import CREDENTIALS_REJECTED, OUTAGE, THROTTLED
from tests.fakes.cognito_script import Body, Close, Drip, Hang, HangBeforeReading, NoHttp, Reset, Sent, Step, Success
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.fakes.dynamodb_upstream import DynamoDbUpstream, WrongChecksum, failure
from tests.support.aws_environment import give_credentials, without_aws_settings
from tests.support.dynamodb import table_name, table_url

from tokend_server import config, errors
from tokend_server.clock import Deadline, SystemClock
from tokend_server.engines.local.store import Store
from tokend_server.engines.local.stores.dynamodb.fault_rows import ERROR_CODES, EXCEPTIONS, OPERATIONS, ROWS
from tokend_server.engines.local.stores.dynamodb.store import open_configured
from tokend_server.engines.local.stores.opening import open_migrated_store

MODEL = Session().get_service_model("dynamodb")
DECLARED = {shape.name for operation in OPERATIONS for shape in MODEL.operation_model(operation).error_shapes}

CLASSES: Mapping[str, type[errors.TokendError]] = {
    **dict.fromkeys(
        (
            "ConditionalCheckFailedException",
            "ContinuousBackupsUnavailableException",
            "InternalServerErrorException",
            "LimitExceededException",
            "ProvisionedThroughputExceededException",
            "ReplicatedWriteConflictException",
            "ResourceInUseException",
            "TransactionCanceledException",
            "TransactionConflictException",
            "TransactionInProgressException",
            *THROTTLED,
            *OUTAGE,
        ),
        errors.EngineUnavailable,
    ),
    **dict.fromkeys(
        (
            "IdempotentParameterMismatchException",
            "InvalidEndpointException",
            "ItemCollectionSizeLimitExceededException",
            "ResourceNotFoundException",
            "TableNotFoundException",
            "UnknownOperationException",
            "ValidationException",
        ),
        errors.EngineMisconfigured,
    ),
    **dict.fromkeys(CREDENTIALS_REJECTED, errors.EngineCredentialsRejected),
}

DELAYS: dict[str, Step] = {
    "hangs before it reads": HangBeforeReading(),
    "hangs before it answers": Hang(),
    "drips in the headers": Drip(0.05, Sent.HALF_OF_HEAD),
    "hangs in the body": Drip(3600, Sent.HALF_OF_BODY),
    "drips an error": Drip(0.05, answer=failure("InternalServerError", 500)),
}

NOT_DYNAMODB: dict[str, Step] = {
    "no HTTP": NoHttp(),
    "HTML": Body(b"<html></html>", 200, "text/html"),
    "a page not found": Body(b"<html></html>", 404, "text/html"),
    "a list": Body(b"[1]"),
    "JSON of others": Body(b"{}", 200, "application/json"),
    "an answer without an id": Body(b"{}", 200, "application/x-amz-json-1.0"),
}


class Pair(NamedTuple):
    """A store without retries, and its upstream."""

    store: Store
    upstream: DynamoDbUpstream


@pytest.fixture(scope="module")
def _shared(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pytest.MonkeyPatch.context() as environment, DynamoDbUpstream(moto_url) as running:
        without_aws_settings(environment, tmp_path_factory.mktemp("failures"))
        give_credentials(environment, ACCESS_KEY)
        url = table_url(running.url, table_name(), max_attempts=1)
        configured = config.Config(store=config.Store.model_validate({"url": url}))
        with closing(open_migrated_store(configured)) as store:
            yield Pair(store, running)


@pytest.fixture
def hasty(_shared: Pair) -> Iterator[Pair]:
    """The same for all tests. After each test, the upstream has its default responses again."""
    yield _shared
    _shared.upstream.always(Success())


def find(store: Store) -> object:
    return store.owners(POOL, [login("x")])


def test_every_declared_error_of_an_operation_has_a_row() -> None:
    assert DECLARED - ERROR_CODES.keys() == set()
    assert CLASSES.keys() == ERROR_CODES.keys()
    assert set(MODEL.operation_names) >= OPERATIONS


@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_code_has_its_class_and_advice(hasty: Pair, code: str) -> None:
    hasty.upstream.always(failure(code, message=f"{code} of x"))
    with pytest.raises(CLASSES[code]) as raised:
        find(hasty.store)
    assert type(raised.value) is CLASSES[code]
    assert "of x" not in raised.value.text
    assert raised.value.advice or "too many calls" in raised.value.text
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalServerError", "ProvisionedThroughputExceededException"]
)
def test_transient_failures_are_retried(opened: Opened, upstream: DynamoDbUpstream, code: str) -> None:
    store = opened(upstream)
    upstream.script([failure(code, 500 if code == "InternalServerError" else 400)])
    assert find(store) == [None]


def test_a_response_with_a_wrong_checksum_is_requested_again(opened: Opened, upstream: DynamoDbUpstream) -> None:
    store, before = opened(upstream), len(upstream.requests)
    upstream.script([WrongChecksum()])
    assert find(store) == [None]
    assert len(upstream.requests) == before + 2


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ExpiredTokenException"])
def test_lasting_failures_are_not_retried(opened: Opened, upstream: DynamoDbUpstream, code: str) -> None:
    store, before = opened(upstream), len(upstream.requests)
    upstream.always(failure(code))
    with pytest.raises(errors.LastingError):
        find(store)
    assert len(upstream.requests) == before + 1


@pytest.mark.parametrize("step", NOT_DYNAMODB.values(), ids=NOT_DYNAMODB)
def test_an_endpoint_that_is_not_dynamodb_is_a_configuration_error(hasty: Pair, step: Step) -> None:
    hasty.upstream.always(step)
    with pytest.raises(errors.EngineMisconfigured) as raised:
        find(hasty.store)
    assert "endpoint_url in store.url" in raised.value.advice


@pytest.mark.parametrize(
    "step",
    [Close(), Reset(), Close(Sent.HALF_OF_HEAD), Close(Sent.HALF_OF_BODY)],
    ids=["closed", "reset", "cut in the headers", "cut in the body"],
)
def test_a_broken_connection_is_reported_as_unavailable(hasty: Pair, step: Step) -> None:
    hasty.upstream.always(step)
    with pytest.raises(errors.EngineUnavailable):
        find(hasty.store)


@pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)
def test_a_call_ends_within_the_stores_time(upstream: DynamoDbUpstream, delay: Step) -> None:
    upstream.always(delay)
    with (
        closing(open_configured(configuration(upstream, table_name(), timeout_seconds=0.3))) as store,
        pytest.raises(errors.EngineUnavailable, match="in time"),
    ):
        find(store)


def test_a_reading_ends_at_its_deadline(opened: Opened, upstream: DynamoDbUpstream) -> None:
    store, clock = opened(upstream), SystemClock()
    upstream.always(Hang())
    for logins in ([login("x")], [login("x"), login("y")]):
        deadline = Deadline(clock, clock.monotonic() + 0.2)
        with pytest.raises(errors.EngineUnavailable, match="in time"):
            store.owners(POOL, logins, deadline)
        with pytest.raises(errors.DeadlineExceeded):
            store.read(POOL, logins, "eu-west-1:a", deadline)


def test_dynamodb_that_is_back_is_used_again(opened: Opened, upstream: DynamoDbUpstream) -> None:
    store = opened(upstream, max_attempts=1)
    upstream.stop_listening()
    with pytest.raises(errors.EngineUnavailable, match="cannot be reached"):
        find(store)
    upstream.listen_again()
    assert find(store) == [None]


def test_missing_credentials_are_reported_with_advice(
    aws_environment: pytest.MonkeyPatch, upstream: DynamoDbUpstream
) -> None:
    aws_environment.delenv("AWS_ACCESS_KEY_ID")
    configured = configuration(upstream, table_name())
    with closing(open_configured(configured)) as store, pytest.raises(errors.EngineCredentialsRejected) as raised:
        store.check()
    assert "default chain found no credentials" in raised.value.advice


def test_every_exception_in_the_table_exists_in_botocore() -> None:
    assert [name for name in EXCEPTIONS if not hasattr(exceptions, name) and not hasattr(parsers, name)] == []


def test_every_lasting_error_has_advice() -> None:
    faults = [*ERROR_CODES.values(), *ROWS.leaks.values(), *(fault for fault in EXCEPTIONS.values() if fault)]
    assert [fault for fault in faults if issubclass(fault.error, errors.LastingError) and not fault.advice] == []

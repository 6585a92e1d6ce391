"""KMS's failures as seen by callers and operators of tokend, and the timeouts of signatures."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from botocore import exceptions, parsers
from botocore.session import Session
from prometheus_client import CollectorRegistry
from tests.fakes.aws_codes import CREDENTIALS_REJECTED, OUTAGE, THROTTLED
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_script import Body, Close, Drip, Hang, HangBeforeReading, NoHttp, Reset, Sent, Step, Success
from tests.fakes.kms_upstream import KmsUpstream, failure
from tests.support.kms import REGION, boto3_client, kms_keys

from tokend_server import errors
from tokend_server.clock import Clock, Deadline, SystemClock
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.kms_fault_rows import DRY_RUN_PASSED, ERROR_CODES, EXCEPTIONS, OPERATIONS, ROWS
from tokend_server.engines.local.keys.kms_key import FAILURE_SECONDS, SUCCESS_SECONDS, KmsKey
from tokend_server.engines.local.keys.manager import new_signing_key
from tokend_server.metrics import Metrics

MODEL = Session().get_service_model("kms")
DECLARED = {shape.name for operation in OPERATIONS for shape in MODEL.operation_model(operation).error_shapes}
ES256 = SigningAlgorithm.ES256

CLASSES: Mapping[str, type[errors.TokendError]] = {
    **dict.fromkeys(THROTTLED, errors.TooManyRequests),
    **dict.fromkeys(
        (
            "CustomKeyStoreInvalidStateException",
            "DependencyTimeoutException",
            "KMSInternalException",
            "KeyUnavailableException",
            *OUTAGE,
        ),
        errors.EngineUnavailable,
    ),
    **dict.fromkeys(
        (
            "CloudHsmClusterInvalidConfigurationException",
            "CustomKeyStoreNotFoundException",
            "DisabledException",
            "DryRunOperationException",
            "IncorrectKeyException",
            "InvalidArnException",
            "InvalidCiphertextException",
            "InvalidGrantTokenException",
            "InvalidKeyUsageException",
            "KMSInvalidStateException",
            "LimitExceededException",
            "MalformedPolicyDocumentException",
            "NotFoundException",
            "TagException",
            "UnknownOperationException",
            "UnsupportedOperationException",
            "ValidationException",
            "XksKeyAlreadyInUseException",
            "XksKeyInvalidConfigurationException",
            "XksKeyNotFoundException",
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
    "drips an error": Drip(0.05, answer=failure("KMSInternalException", 500)),
}

NOT_KMS: dict[str, Step] = {
    "no HTTP": NoHttp(),
    "HTML": Body(b"<html></html>", 200, "text/html"),
    "a page not found": Body(b"<html></html>", 404, "text/html"),
    "a list": Body(b"[1]"),
    "JSON of others": Body(b"{}", 200, "application/json"),
    "no signature of the key": Body(b'{"Signature": "AAAA"}'),
    "no base64": Body(b'{"Signature": "A"}'),
}


@pytest.fixture(scope="module")
def record(_running: KmsUpstream) -> SigningKey:
    with kms_keys(_running) as keys:
        return new_signing_key(keys, ES256, generation=1, created=1)


@contextmanager
def opened(
    upstream: KmsUpstream,
    record: SigningKey,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    **settings: object,
) -> Iterator[KmsKey]:
    with kms_keys(upstream, clock, metrics, **settings) as keys:
        yield keys.open(record)


@pytest.fixture(scope="module")
def hasty(_running: KmsUpstream, record: SigningKey) -> Iterator[KmsKey]:
    """The same for all tests, without retries."""
    with opened(_running, record, max_attempts=1) as key:
        yield key


def sign(key: KmsKey, seconds: float = 30.0) -> bytes:
    clock = SystemClock()
    return key.sign(b"data", Deadline(clock, clock.monotonic() + seconds))


def test_every_declared_error_of_an_operation_has_a_row() -> None:
    assert DECLARED - ERROR_CODES.keys() == set()
    assert CLASSES.keys() == ERROR_CODES.keys()
    assert set(MODEL.operation_names) >= OPERATIONS.keys()


@pytest.mark.parametrize("code", sorted(ERROR_CODES.keys() - {DRY_RUN_PASSED}))
def test_every_code_has_its_class_and_advice(upstream: KmsUpstream, hasty: KmsKey, code: str) -> None:
    upstream.always(failure(code, message=f"{code} of x"))
    with pytest.raises(CLASSES[code]) as raised:
        sign(hasty)
    assert type(raised.value) is CLASSES[code]
    assert "of x" not in raised.value.text
    assert raised.value.advice
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("code", ["ThrottlingException", "KMSInternalException", "DependencyTimeoutException"])
def test_transient_failures_are_retried(upstream: KmsUpstream, record: SigningKey, code: str) -> None:
    status = {"KMSInternalException": 500, "DependencyTimeoutException": 503}  # as in the API reference of Sign
    upstream.script([failure(code, status.get(code, 400))])
    with opened(upstream, record) as key:
        assert sign(key)


def test_a_signature_makes_at_most_max_attempts_requests(upstream: KmsUpstream, record: SigningKey) -> None:
    before = len(upstream.requests)
    upstream.always(failure("KMSInternalException", 500))
    with opened(upstream, record, max_attempts=2) as key, pytest.raises(errors.EngineUnavailable):
        sign(key)
    assert len(upstream.requests) == before + 2


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException", "NotFoundException"])
def test_lasting_failures_are_not_retried(upstream: KmsUpstream, record: SigningKey, code: str) -> None:
    before = len(upstream.requests)
    upstream.always(failure(code))
    with opened(upstream, record) as key, pytest.raises(errors.LastingError):
        sign(key)
    assert len(upstream.requests) == before + 1


@pytest.mark.parametrize("step", NOT_KMS.values(), ids=NOT_KMS)
def test_an_endpoint_that_is_not_kms_is_a_configuration_error(upstream: KmsUpstream, hasty: KmsKey, step: Step) -> None:
    upstream.always(step)
    with pytest.raises(errors.EngineMisconfigured) as raised:
        sign(hasty)
    assert "keys.kms.endpoint_url" in raised.value.advice


@pytest.mark.parametrize(
    "step",
    [Close(), Reset(), Close(Sent.HALF_OF_HEAD), Close(Sent.HALF_OF_BODY)],
    ids=["closed", "reset", "cut in the headers", "cut in the body"],
)
def test_a_broken_connection_raises_engine_unavailable(upstream: KmsUpstream, hasty: KmsKey, step: Step) -> None:
    upstream.always(step)
    with pytest.raises(errors.EngineUnavailable):
        sign(hasty)


@pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)
def test_a_signature_ends_within_the_configured_time(upstream: KmsUpstream, record: SigningKey, delay: Step) -> None:
    upstream.always(delay)
    with (
        opened(upstream, record, timeout_seconds=0.3) as key,
        pytest.raises(errors.EngineUnavailable, match="in time"),
    ):
        sign(key)


@pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)
def test_a_signature_ends_at_its_callers_deadline(upstream: KmsUpstream, record: SigningKey, delay: Step) -> None:
    upstream.always(delay)
    with opened(upstream, record) as key, pytest.raises(errors.DeadlineExceeded):
        sign(key, 0.2)


def test_kms_that_is_back_is_used_again(upstream: KmsUpstream, record: SigningKey) -> None:
    with opened(upstream, record, max_attempts=1) as key:
        upstream.stop_listening()
        with pytest.raises(errors.EngineUnavailable, match="cannot be reached"):
            sign(key)
        upstream.listen_again()
        assert sign(key)


def test_missing_credentials_are_reported_with_advice(
    upstream: KmsUpstream, record: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with opened(upstream, record) as key, pytest.raises(errors.EngineCredentialsRejected) as raised:
        sign(key)
    assert "default chain found no credentials" in raised.value.advice


def test_kms_sees_no_more_of_a_token_than_its_hash(upstream: KmsUpstream, record: SigningKey) -> None:
    before = len(upstream.requests)
    with opened(upstream, record) as key:
        sign(key)
    (asked,) = (request.body for request in upstream.requests[before:])
    assert (asked["MessageType"], asked["SigningAlgorithm"]) == ("DIGEST", "ECDSA_SHA_256")
    assert len(asked["Message"]) == 44  # base64 of 32 octets


class TestQuota:
    """The service's own rate limit, below KMS's."""

    def test_signatures_above_the_rate_are_refused_without_a_request(
        self, upstream: KmsUpstream, record: SigningKey
    ) -> None:
        clock, metrics, before = FakeClock(), Metrics(CollectorRegistry()), len(upstream.requests)
        forever = Deadline(clock)
        with opened(upstream, record, clock, metrics, requests_per_second=2, burst=2) as key:
            for _ in range(2):
                key.sign(b"data", forever)
            with pytest.raises(errors.TooManyRequests) as raised:
                key.sign(b"data", forever)
            assert raised.value.retry_after == 0.5
            clock.advance(0.5)
            key.sign(b"data", forever)
        assert len(upstream.requests) == before + 3
        assert refused(metrics, "quota") == 1

    def test_retries_count_against_the_quota(self, upstream: KmsUpstream, record: SigningKey) -> None:
        before = len(upstream.requests)
        upstream.always(failure("KMSInternalException", 500))
        with (
            opened(upstream, record, max_attempts=5, requests_per_second=0.001, burst=2) as key,
            pytest.raises(errors.EngineUnavailable),
        ):
            sign(key)
        assert len(upstream.requests) == before + 2

    def test_rsa_and_ecc_keys_have_separate_quotas(self, upstream: KmsUpstream, record: SigningKey) -> None:
        clock = FakeClock()
        with kms_keys(upstream, clock, requests_per_second=1, burst=1) as keys:
            rsa = new_signing_key(keys, SigningAlgorithm.RS256, generation=1, created=1)
            keys.open(rsa).sign(b"data", Deadline(clock))
            keys.open(record).sign(b"data", Deadline(clock))
            for each in (rsa, record):
                with pytest.raises(errors.TooManyRequests):
                    keys.open(each).sign(b"data", Deadline(clock))

    def test_calls_beyond_max_calls_are_rejected_while_kms_hangs(
        self, upstream: KmsUpstream, record: SigningKey
    ) -> None:
        metrics = Metrics(CollectorRegistry())
        upstream.always(Hang(then=Success()))
        with opened(upstream, record, None, metrics, max_calls=1) as key, ThreadPoolExecutor(1) as threads:
            first = threads.submit(sign, key)
            upstream.wait_for_held(1)
            with pytest.raises(errors.TooManyRequests, match="Too many calls are waiting for AWS KMS"):
                sign(key)
            upstream.release()
            assert first.result()
        assert refused(metrics, "calls") == 1


class TestCheck:
    """The readiness check."""

    def test_the_check_signs_nothing_and_is_cached(self, upstream: KmsUpstream, record: SigningKey) -> None:
        clock, before = FakeClock(), len(upstream.requests)
        with opened(upstream, record, clock) as key:
            for _ in range(3):
                key.check()
            clock.advance(SUCCESS_SECONDS - 1)
            key.check()
            state, right = upstream.requests[before:]
            assert (state.operation, right.operation, right.body["DryRun"]) == ("GetPublicKey", "Sign", True)
            clock.advance(1)
            key.check()
        assert len(upstream.requests) == before + 4

    def test_a_signature_replaces_the_check(self, upstream: KmsUpstream, record: SigningKey) -> None:
        before = len(upstream.requests)
        with opened(upstream, record) as key:
            sign(key)
            key.check()
        assert [request.body.get("DryRun") for request in upstream.requests[before:]] == [None]

    @pytest.mark.parametrize("code", ["DisabledException", "KMSInvalidStateException", "AccessDeniedException"])
    def test_a_lasting_failure_is_reported_until_it_ends(
        self, upstream: KmsUpstream, record: SigningKey, code: str
    ) -> None:
        clock = FakeClock()
        with opened(upstream, record, clock) as key:
            key.check()
            upstream.always(failure(code))
            with pytest.raises(errors.LastingError):
                key.sign(b"data", Deadline(clock))
            before = len(upstream.requests)
            for _ in range(2):
                with pytest.raises(errors.LastingError) as raised:
                    key.check()
            assert len(upstream.requests) == before
            assert raised.value.advice.count(json.loads(record.material.reveal())["key_arn"]) == 1
            upstream.always(Success())
            clock.advance(FAILURE_SECONDS)
            key.check()

    @pytest.mark.parametrize("state", ["disabled", "pending deletion"])
    def test_the_state_of_a_key_is_reported_without_signatures(self, upstream: KmsUpstream, state: str) -> None:
        client = boto3_client(upstream)
        with kms_keys(upstream) as keys:
            made = new_signing_key(keys, ES256, generation=1, created=1)
            key_id = json.loads(made.material.reveal())["key_arn"]
            if state == "disabled":
                client.disable_key(KeyId=key_id)
            else:
                client.schedule_key_deletion(KeyId=key_id)
            with pytest.raises(errors.EngineMisconfigured, match="refuses the use of the signing key"):
                keys.open(made).check()

    @pytest.mark.parametrize(
        "step",
        [failure("ThrottlingException"), failure("KMSInternalException", 500), Hang(), Reset()],
        ids=["throttled", "a fault", "no answer", "no connection"],
    )
    def test_an_outage_is_not_a_problem_of_the_key(self, upstream: KmsUpstream, record: SigningKey, step: Step) -> None:
        upstream.always(step)
        with opened(upstream, record, max_attempts=1) as key:
            before = len(upstream.requests)
            for _ in range(3):
                key.check()
            assert len(upstream.requests) == before + 1

    def test_the_check_passes_if_the_api_ignores_dry_run(self, upstream: KmsUpstream, record: SigningKey) -> None:
        upstream.always(Body(b'{"Signature": "AAAA", "PublicKey": "AAAA"}'))
        with opened(upstream, record) as key:
            key.check()


def test_requests_are_measured_by_operation_and_code(upstream: KmsUpstream, record: SigningKey) -> None:
    metrics = Metrics(CollectorRegistry())
    with opened(upstream, record, None, metrics) as key:
        key.check()
        sign(key)
        upstream.script([failure("ThrottlingException"), failure("InventedException")])
        with pytest.raises(errors.EngineUnavailable):
            sign(key)
    value, labels = metrics.registry.get_sample_value, {"region": REGION, "operation": "Sign"}
    assert value("tokend_kms_request_seconds_count", labels) == 4
    failures = {
        code: value("tokend_kms_request_failures_total", {**labels, "code": code})
        for code in ("ThrottlingException", "other", DRY_RUN_PASSED)
    }
    assert failures == {"ThrottlingException": 1, "other": 1, DRY_RUN_PASSED: None}


def test_every_exception_in_the_table_exists_in_botocore() -> None:
    assert [name for name in EXCEPTIONS if not hasattr(exceptions, name) and not hasattr(parsers, name)] == []


def test_every_lasting_error_has_advice() -> None:
    faults = [*ERROR_CODES.values(), *ROWS.leaks.values(), *(fault for fault in EXCEPTIONS.values() if fault)]
    assert [fault for fault in faults if issubclass(fault.error, errors.LastingError) and not fault.advice] == []


def refused(metrics: Metrics, limit: str) -> float | None:
    return metrics.registry.get_sample_value("tokend_kms_refused_total", {"region": REGION, "limit": limit})

"""The responses while the audit log cannot be written, or is not written yet."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_engine import IDENTITY_ID, ISSUED
from tests.rpc.audited import CANARY, GET, KINDS, HeldLog, audited_call, token
from tests.support.grpc_service import METHODS, TIMEOUT, GrpcService, failure, grpc_service

from tokend_server import errors

#: A file where every write fails, as on a full disk.
FULL = "file:/dev/full"


@contextmanager
def failing_audit(*, required: bool) -> Iterator[GrpcService]:
    sections = {"audit": {"destination": FULL, "required": required}}
    with grpc_service(FakeClock(), sections) as service:
        service.engine.answers["get"] = ISSUED._replace(token=token())
        yield service


def audit_failures(service: GrpcService) -> float:
    service.await_audit_lines()
    return service.registry.get_sample_value("tokend_audit_failures_total", {"error": "ENOSPC"}) or 0.0


@pytest.mark.parametrize("method", METHODS)
def test_a_call_fails_if_its_required_audit_entry_cannot_be_written(method: str) -> None:
    with failing_audit(required=True) as service:
        seen = failure(lambda: service.call(method), *KINDS)
        assert (seen.code, seen.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
        assert seen.text == "The call could not be recorded."
        assert len(service.engine.asked) == 1  # the engine had responded
        assert CANARY not in str(seen)
        assert IDENTITY_ID not in str(seen)
        assert audit_failures(service) == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_failed_optional_audit_entry_is_counted(method: str) -> None:
    with failing_audit(required=False) as service:
        service.call(method)
        assert audit_failures(service) == 1


@pytest.mark.parametrize("required", [True, False])
def test_a_failed_call_keeps_its_reason_if_the_audit_log_also_fails(*, required: bool) -> None:
    with failing_audit(required=required) as service:
        service.engine.failure = errors.NotAuthorized("Logins don't match.")
        assert failure(lambda: service.call(GET)).reason == "NOT_AUTHORIZED"
        service.engine.failure = KeyError()
        assert failure(lambda: service.call(GET), *KINDS).reason == "INTERNAL"
        assert audit_failures(service) == 2


@pytest.mark.parametrize("fails", [False, True])
def test_a_call_returns_after_its_required_line_is_written(*, fails: bool) -> None:
    log = HeldLog()

    def behave(_request: object, _context: object) -> str:
        if fails:
            raise errors.NotAuthorized("no")
        return "answer"

    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(audited_call, log, behave)
        assert log.begun.wait(TIMEOUT)
        assert not answer.done()
        log.release.set()
        if fails:
            assert isinstance(answer.exception(TIMEOUT), errors.NotAuthorized)
        else:
            assert answer.result(TIMEOUT) == "answer"
    assert len(log.lines) == 1

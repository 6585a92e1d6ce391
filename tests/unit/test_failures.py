import logging

import pytest

from tokend_server.errors import EngineCredentialsRejected, EngineUnavailable, NotAuthorized, TokendError
from tokend_server.failures import log_defect, log_failure
from tokend_server.model import Secret


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (NotAuthorized("no"), logging.DEBUG),
        (EngineUnavailable("down"), logging.WARNING),
        (EngineCredentialsRejected("refused"), logging.WARNING),
    ],
)
def test_errors_of_the_service_are_warnings(error: TokendError, level: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    log_failure("Method", error)
    assert [record.levelno for record in caplog.records] == [level]


def test_a_failure_is_logged_with_the_aws_error_and_the_advice(caplog: pytest.LogCaptureFixture) -> None:
    error = EngineCredentialsRejected("refused")
    error.aws_error_code, error.aws_request_id, error.advice = "AccessDeniedException", "id-1", "Allow the action."
    log_failure("Method", error)
    record = vars(caplog.records[0])
    assert (record["aws_error_code"], record["aws_request_id"], record["advice"]) == (
        "AccessDeniedException",
        "id-1",
        "Allow the action.",
    )


def test_a_failure_without_aws_is_logged_with_an_equivalent_aws_error_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log_failure("Method", EngineUnavailable("down"))
    record = vars(caplog.records[0])
    assert record["aws_error_code"] == "InternalErrorException"
    assert "aws_request_id" not in record


def test_a_defect_is_logged_with_its_place_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    login = Secret("canary")

    def fail() -> None:
        raise ValueError(login.reveal())

    with pytest.raises(ValueError, match=login.reveal()) as failed:
        fail()
    log_defect("Method", failed.value, "id-1")
    record = vars(caplog.records[0])
    assert (record["method"], record["request_id"], record["exception"]) == ("Method", "id-1", "ValueError")
    assert "in fail" in record["traceback"]
    assert login.reveal() not in str(record)

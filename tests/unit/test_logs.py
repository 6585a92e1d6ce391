import contextvars
import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NoReturn

import pytest

from tokend_server import logs
from tokend_server.model import Login, Secret
from tokend_server.rpc.call import CURRENT_CALL, Call

CANARY = "canary-4712"


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Captures standard error, and restores logging at the end."""
    root = logging.getLogger()
    level = root.level
    yield lambda: capsys.readouterr().err
    root.setLevel(level)
    root.handlers[:] = [handler for handler in root.handlers if type(handler) is not logging.StreamHandler]


def records(written: Callable[[], str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written().splitlines()]


def fail(value: object) -> NoReturn:
    raise LookupError(value)


def test_a_json_record_is_a_line_with_its_extras(written: Callable[[], str]) -> None:
    logs.configure(level="info", as_json=True)
    logging.getLogger("tokend_server.part").warning("not %s\nnow", "ready", extra={"pool": "p:1", "count": 2})
    (record,) = records(written)
    assert datetime.strptime(record.pop("time"), "%Y-%m-%dT%H:%M:%S%z").tzinfo
    assert record == {
        "level": "WARNING",
        "logger": "tokend_server.part",
        "message": "not ready\nnow",
        "pool": "p:1",
        "count": 2,
    }


def test_a_json_record_has_the_exception(written: Callable[[], str]) -> None:
    logs.configure(level="info", as_json=True)
    try:
        fail("gone")
    except LookupError:
        logging.getLogger("part").exception("failed")
    (record,) = records(written)
    assert record["level"] == "ERROR"
    assert "LookupError: gone" in record["exc_info"]


def test_a_text_record_has_its_level_logger_and_message(written: Callable[[], str]) -> None:
    logs.configure(level="info", as_json=False)
    logging.getLogger("part").error("failed %d times", 3)
    assert written().endswith(" ERROR part: failed 3 times\n")


def test_a_text_record_has_its_extras(written: Callable[[], str]) -> None:
    logs.configure(level="info", as_json=False)
    logging.getLogger("part").error("failed", extra={"request_id": "r-1", "reasons": ["a", "b"]})
    assert written().endswith(" ERROR part: failed request_id=r-1 reasons=['a', 'b']\n")


def test_commands_print_the_log_of_tokend(capsys: pytest.CaptureFixture[str]) -> None:
    ours, others = logging.getLogger("tokend_server.part"), logging.getLogger("part")
    before = logging.getLogger("tokend_server").level
    with logs.logging_to_stderr():
        ours.info("left", extra={"kms_key": "arn"})
        ours.debug("looked")
        others.info("loaded")
    ours.warning("over")
    assert capsys.readouterr().err == "INFO: left kms_key=arn\n"
    assert logging.getLogger("tokend_server").level == before


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_only_records_of_the_configured_level_or_above_are_written(
    written: Callable[[], str], level: str, expected: list[str]
) -> None:
    logs.configure(level=level, as_json=True)
    for name in ("debug", "info", "warning", "error"):
        logging.getLogger("part").log(getattr(logging, name.upper()), name)
    assert [record["message"] for record in records(written)] == expected


def test_the_last_configuration_applies(written: Callable[[], str]) -> None:
    logs.configure(level="info", as_json=False)
    logs.configure(level="info", as_json=True)
    logging.getLogger("part").info("once")
    assert [record["message"] for record in records(written)] == ["once"]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_is_never_written(written: Callable[[], str], *, as_json: bool) -> None:
    logs.configure(level="debug", as_json=as_json)
    secret = Secret(CANARY)
    extra = {"login": secret, "logins": {"provider": [secret]}, "noun": Login("provider", secret)}
    logging.getLogger("part").info("got %s, %r and %s", secret, secret, Login("provider", secret), extra=extra)
    try:
        fail(secret)
    except LookupError:
        logging.getLogger("part").exception("failed")
    text = written()
    assert "Secret(***)" in text
    assert CANARY not in text


CALL = Call(
    method="LookupDeveloperIdentity", request_id="r-1", trace_id="4bf92f3577b34da6a3ce929d0e0e4736", caller="c-1"
)
OF_THE_CALL = {
    "method": "LookupDeveloperIdentity",
    "request_id": "r-1",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "caller": "c-1",
}


def log_during(call: Call, message: str, /, logger: str = "part", **extra: object) -> None:
    """Logs like the code of a call, in a separate context."""

    def work() -> None:
        CURRENT_CALL.set(call)
        logging.getLogger(logger).info(message, extra=extra)

    contextvars.Context().run(work)


def members(record: dict[str, Any]) -> dict[str, Any]:
    """Returns the members of a record that are not in all records."""
    return {name: value for name, value in record.items() if name not in {"time", "level", "logger", "message"}}


def test_a_json_record_has_the_members_of_the_current_call(written: Callable[[], str]) -> None:
    logs.configure(level="info", as_json=True)
    log_during(CALL, "found")
    (record,) = records(written)
    assert members(record) == OF_THE_CALL


def test_a_text_record_has_the_members_of_the_current_call(written: Callable[[], str]) -> None:
    logs.configure(level="info", as_json=False)
    log_during(CALL, "found")
    expected = " ".join(f"{name}={OF_THE_CALL[name]}" for name in ("request_id", "method", "caller", "trace_id"))
    assert written().endswith(f" INFO part: found {expected}\n")


def test_records_of_libraries_have_the_members_of_the_call(written: Callable[[], str]) -> None:
    logs.configure(level="info", as_json=True)
    log_during(CALL, "lost", logger="library.part")
    (record,) = records(written)
    assert members(record) == OF_THE_CALL


def test_a_record_outside_a_call_has_no_members_of_a_call(written: Callable[[], str]) -> None:
    logs.configure(level="info", as_json=True)
    log_during(CALL, "found")
    logging.getLogger("part").info("idle")
    assert members(records(written)[1]) == {}


def test_missing_members_of_a_call_are_omitted(written: Callable[[], str]) -> None:
    logs.configure(level="info", as_json=True)
    log_during(Call(method="LookupDeveloperIdentity", request_id="r-2"), "refused")
    (record,) = records(written)
    assert members(record) == {"method": "LookupDeveloperIdentity", "request_id": "r-2"}


def test_the_members_of_a_record_are_not_replaced(written: Callable[[], str]) -> None:
    logs.configure(level="info", as_json=True)
    log_during(CALL, "retried", request_id="aws-9", method="GetId", caller="", trace_id=None)
    (record,) = records(written)
    assert members(record) == {"request_id": "aws-9", "method": "GetId", "caller": "", "trace_id": None}


@pytest.mark.parametrize(
    "name", ["opentelemetry.util.re", "opentelemetry.baggage.propagation", "opentelemetry.trace.span"]
)
def test_warnings_that_repeat_headers_are_not_written(written: Callable[[], str], name: str) -> None:
    logs.configure(level="debug", as_json=True)
    logging.getLogger(name).warning("Header format invalid! %s", CANARY)
    assert CANARY not in written()


def test_warnings_of_psycopg_are_not_logged(written: Callable[[], str]) -> None:
    logs.configure(level="debug", as_json=True)
    logging.getLogger("psycopg").warning("error ignored terminating")
    assert written() == ""


def test_commands_suppress_the_log_records_of_libraries(caplog: pytest.LogCaptureFixture) -> None:
    library = logging.getLogger("urllib3")
    before = library.level
    with logs.logging_to_stderr():
        for name in ("urllib3.connection", "psycopg"):
            logging.getLogger(name).warning("Failed to parse headers: %s", CANARY)
    assert caplog.records == []
    assert library.level == before

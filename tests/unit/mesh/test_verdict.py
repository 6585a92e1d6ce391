from tokend_server.errors import LastingError, RetryableError
from tokend_server.mesh.verdict import VERDICTS, Verdict
from tokend_server.rpc.status import STATUS


def test_every_error_has_a_verdict() -> None:
    assert VERDICTS.keys() == STATUS.keys()


def test_only_errors_of_the_service_count_as_failures() -> None:
    ours = {error for error in STATUS if issubclass(error, (LastingError, RetryableError))}
    failed = {error.__name__ for error, verdict in VERDICTS.items() if verdict is Verdict.FAILED}
    assert failed == {error.__name__ for error in ours} | {"DeadlineExceeded"}

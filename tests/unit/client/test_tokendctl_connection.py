"""How tokendctl finds the service: options, environment and files."""

from pathlib import Path

import pytest
from tests.fakes.developer_identity_server import FakeDeveloperIdentityService, serving
from tests.unit.client.tokendctl_lines import IDENTITY, LOOKUP, MERGE, POOL, run

from tokend.v1 import developer_identity_service_pb2 as contract


def test_an_unreachable_service_is_reported_in_a_line(tmp_path: Path) -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=f"unix:{tmp_path}/none")
    assert result.stderr.startswith(f'No answer from the endpoint "unix:{tmp_path}/none": UNAVAILABLE: ')
    assert (result.stderr.count("\n"), result.exit_code) == (1, 255)


def test_the_timeout_is_the_deadline_of_the_call(service: FakeDeveloperIdentityService) -> None:
    for timeout in ([], ["--timeout", "100.5"]):
        run(LOOKUP, "--identity-pool-id", POOL, *timeout, endpoint=service.endpoint)
    # gRPC sends a deadline with two or three digits, rounded up. The first of two attempts has half the time.
    assert service.times_remaining == [pytest.approx(5, abs=1), pytest.approx(50.25, abs=2)]


def test_the_endpoint_may_come_from_the_environment(service: FakeDeveloperIdentityService) -> None:
    assert run(LOOKUP, "--identity-pool-id", POOL, TOKEND_ENDPOINT=service.endpoint).exit_code == 0


def test_the_endpoint_may_be_a_unix_socket(tmp_path: Path) -> None:
    with serving(f"unix:{tmp_path}/s") as service:
        result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint, TOKEND_ENDPOINT="unix:/nowhere")
    assert result.exit_code == 0


def test_proxy_variables_are_ignored(service: FakeDeveloperIdentityService) -> None:
    proxy = {"grpc_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    assert run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint, **proxy).exit_code == 0


def test_the_path_of_a_unix_socket_may_begin_with_a_tilde(tmp_path: Path) -> None:
    with serving(f"unix:{tmp_path}/s") as fake:
        fake.answer(contract.MergeDeveloperIdentitiesResponse(identity_id=IDENTITY))
        users = '{"SourceUserIdentifier": "a", "DestinationUserIdentifier": "b"}'
        words = [MERGE, "--cli-input-json", users, "--developer-provider-name=p", "--identity-pool-id", POOL]
        result = run(*words, endpoint="unix:~/s", HOME=str(tmp_path))
    assert (result.stderr, result.exit_code) == ("", 0)


def test_a_path_that_is_too_long_for_a_socket_is_wrong_usage() -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=f"unix:/{'s' * 107}")
    assert result.exit_code == 252
    assert "the path of a unix socket has 107 bytes at most" in result.stderr


def test_an_invalid_environment_variable_is_reported() -> None:
    for name, value in (("TOKEND_ENDPOINT", "http://x"), ("AWS_DEFAULT_OUTPUT", "xml")):
        result = run(LOOKUP, "--identity-pool-id", POOL, **{name: value})
        assert (result.stderr.partition(":")[0], result.exit_code) == (name, 253)


def test_the_endpoint_url_option_overrides_an_invalid_environment_variable(
    service: FakeDeveloperIdentityService,
) -> None:
    url = f"http://{service.endpoint}"
    refused = run(LOOKUP, "--identity-pool-id", POOL, TOKEND_ENDPOINT=url)
    assert refused.stderr == "TOKEND_ENDPOINT: not an address; a URL goes to --endpoint-url\n"
    assert run(LOOKUP, "--identity-pool-id", POOL, "--endpoint-url", url, TOKEND_ENDPOINT=url).exit_code == 0


@pytest.mark.parametrize("content", ["no PEM", None])
def test_unusable_connection_files_are_reported(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    result = run(LOOKUP, "--identity-pool-id", POOL, "--ca-bundle", str(file))
    assert (result.stderr.partition(":")[0], result.exit_code) == ("--ca-file", 253)


def test_the_region_has_to_be_that_of_the_pool(service: FakeDeveloperIdentityService) -> None:
    line = (LOOKUP, "--identity-pool-id", POOL)
    assert run(*line, "--region", "us-east-1", endpoint=service.endpoint).exit_code == 0
    refused = run(*line, "--region", "eu-west-1", endpoint=service.endpoint)
    assert "  --region: the identity pool is in 'us-east-1'\n" in refused.stderr
    assert refused.exit_code == 252
    assert len(service.requests) == 1


def test_the_endpoint_may_be_a_url(service: FakeDeveloperIdentityService) -> None:
    line = (LOOKUP, "--identity-pool-id", POOL, "--endpoint-url")
    assert run(*line, f"http://{service.endpoint}/", TOKEND_ENDPOINT="127.0.0.1:9").exit_code == 0
    assert run(*line, f"https://{service.endpoint}", "--timeout", "1").exit_code == 255
    for url in (service.endpoint, "http://", "ftp://x", "http://u@x", "http://x/y", "http://x?y", "http://x:y", ""):
        assert run(*line, url).exit_code == 252, url
    assert run(*line, f"http://{service.endpoint}", "--tls").exit_code == 252
    assert run(*line, f"http://{service.endpoint}", endpoint=service.endpoint).exit_code == 252

"""The issuer of local tokens: never Cognito's, and with a warning about issuers that AWS would not accept."""

import json
from importlib.resources import files

import pytest
from pydantic import TypeAdapter, ValidationError
from tests.unit.config.conftest import Load, Problems
from tests.unit.config.file_parts import POOL, SECRET

from tokend_server.config import Config
from tokend_server.config.issuer_url import AWS_DOMAINS, IssuerUrl
from tokend_server.config.warnings import config_warnings

CHECK = TypeAdapter[str](IssuerUrl).validate_python

#: The services of Cognito, as in its host names.
SERVICES = ("cognito-identity", "cognito-identity-fips", "cognito-idp", "cognito-idp-fips")


def partitions() -> list[tuple[str, str]]:
    """Returns every AWS domain with one of its regions, from the AWS SDK."""
    table = json.loads((files("botocore") / "data" / "partitions.json").read_text(encoding="utf-8"))
    return [
        (partition["outputs"][suffix], partition["outputs"]["implicitGlobalRegion"])
        for partition in table["partitions"]
        for suffix in ("dnsSuffix", "dualStackDnsSuffix")
    ]


def test_all_domains_of_aws_are_known() -> None:
    assert {domain for domain, _ in partitions()} == set(AWS_DOMAINS)


def refused(url: str) -> str:
    with pytest.raises(ValidationError) as raised:
        CHECK(url)
    (details,) = raised.value.errors()
    return str(details["msg"])


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(("domain", "region"), partitions())
def test_an_issuer_at_a_host_of_cognito_is_refused(service: str, domain: str, region: str) -> None:
    for host in (f"{service}.{domain}", f"{service}.{region}.{domain}"):
        for url in (
            f"https://{host}",
            f"https://{host}/{region}_Abc",
            f"https://{host.upper()}",
            f"https://{host}.:443",
        ):
            assert "must not be one of Amazon Cognito's" in refused(url)


@pytest.mark.parametrize(
    "host", ["cognito-identity-us-gov.amazonaws.com", "vpce-1.cognito-identity.us-east-1.vpce.amazonaws.com"]
)
def test_other_hosts_of_cognito_are_rejected_as_the_issuer(host: str) -> None:
    assert "must not be one of Amazon Cognito's" in refused(f"https://{host}")


@pytest.mark.parametrize(
    "url",
    [
        "https://tokens.example",
        "https://tokens.example/cognito-identity.amazonaws.com",
        "https://cognito-identity.example",
        "https://cognito-identity.amazonaws.com.example",
        "https://bucket.s3.eu-west-1.amazonaws.com",
        "https://a1b2.execute-api.eu-west-1.amazonaws.com/prod",
        "https://incognito-identity.amazonaws.com",
        "https://tokens.example/t%20x/~a",
        "http://127.0.0.1:8080",
    ],
)
def test_other_hosts_are_accepted_as_the_issuer(url: str) -> None:
    assert CHECK(url) == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://tokens.example/", "must not end with a slash"),
        ("https://tokens.example/a/", "must not end with a slash"),
        ("https://tokens.example?", "no query"),
        ("https://tokens.example?a=b", "no query"),
        ("https://tokens.example#", "no fragment"),
        ("https://user@tokens.example", "no user"),
        ("http://tokens.example", "must be https"),
        ("https://tokens.example/a b", "characters of a URL"),
        ("https://tokens.example/\u00e9", "characters of a URL"),
        ("https://tokens.example/a/../b", "no dot segments"),
        ("tokens.example", "must be a URL"),
    ],
)
def test_an_invalid_issuer_url_is_rejected(url: str, expected: str) -> None:
    assert expected in refused(url)


def warnings_of(url: str, engine: str = "local") -> list[str]:
    pool = {"developer_provider_name": "login.example", "engine": engine}
    config = Config.model_validate({"issuer": {"url": url}, "pools": {"us-east-1:0a": pool}})
    return list(config_warnings(config, {}))


def of_length(length: int) -> str:
    host = "https://tokens.example/"
    return host + "a" * (length - len(host))


@pytest.mark.parametrize("url", ["https://tokens.example", "https://tokens.example/a/b", of_length(255)])
def test_an_issuer_that_aws_accepts_causes_no_warning(url: str) -> None:
    assert warnings_of(url) == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://tokens.example:8443", ["a port"]),
        ("https://tokens.example:443", ["a port"]),
        (of_length(256), ["255 characters"]),
        ("https://Tokens.example", ["upper case in its host"]),
        ("https://localhost", ["cannot reach"]),
        ("http://127.0.0.1:8080", ["only https", "a port"]),
    ],
)
def test_an_issuer_that_aws_would_refuse_causes_a_warning(url: str, expected: list[str]) -> None:
    found = warnings_of(url)
    assert [warning.startswith("issuer.url: ") for warning in found] == [True] * len(expected)
    assert all(part in warning for part, warning in zip(expected, found, strict=True))


def test_an_issuer_without_a_local_pool_causes_no_warning() -> None:
    assert warnings_of("https://tokens.example:8443", engine="cognito") == []


@pytest.mark.parametrize(
    "url",
    [
        "https://tokens.example",
        "https://tokens.example:8443/a/b",
        "http://127.0.0.1:8080",
        "http://[::1]:8080/a",
        "http://localhost",
    ],
)
def test_an_issuer_url_is_accepted_as_it_is(url: str, load: Load) -> None:
    assert load(f'{POOL}[issuer]\nurl = "{url}"').issuer.url == url


@pytest.mark.parametrize(
    "url",
    [
        "tokens.example",
        "ftp://tokens.example",
        "https://",
        "https:///path",
        "https://tokens.example/",
        "https://tokens.example/a/",
        "https://tokens.example?a=b",
        "https://tokens.example#a",
        "http://tokens.example",
        "http://10.0.0.1",
        "http://[::1",
        "https://tokens.example:port",
        "https://tokens.example:99999",
        f"https://user:{SECRET}@tokens.example",
    ],
)
def test_an_invalid_issuer_url_in_a_file_is_refused(url: str, problems: Problems) -> None:
    (problem,) = problems(f'{POOL}[issuer]\nurl = "{url}"')
    assert problem.startswith("issuer.url: ")
    assert SECRET not in problem

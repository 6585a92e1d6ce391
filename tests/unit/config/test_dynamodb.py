import pytest

from tokend_server.config import Config, Store
from tokend_server.config.dynamodb import table_of

URL = "dynamodb://tokend?region=eu-west-1"


def test_a_table_and_its_region_are_enough() -> None:
    table = table_of(URL)
    assert (table.table, table.region, table.endpoint_url, table.max_attempts) == ("tokend", "eu-west-1", None, 4)


def test_all_parameters_of_a_url_are_parsed() -> None:
    role = "arn:aws:iam::123456789012:role/tokend"
    table = table_of(
        f"{URL}&endpoint_url=http://127.0.0.1:8000&profile=blue&role_arn={role}&kms_key_id=alias/tokend"
        "&timeout_seconds=2.5&connect_timeout_seconds=0.5&max_attempts=2"
    )
    assert table.endpoint_url == "http://127.0.0.1:8000"
    assert (table.profile, table.role_arn, table.kms_key_id) == ("blue", role, "alias/tokend")
    assert (table.timeout_seconds, table.connect_timeout_seconds, table.max_attempts) == (2.5, 0.5, 2)


def test_a_dynamodb_url_is_the_url_and_the_name_of_the_store() -> None:
    config = Config(store=Store(url=URL))
    assert config.store_url == config.store_name == URL


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("dynamodb://tokend", "must be dynamodb://TABLE?region=REGION"),
        ("dynamodb:tokend?region=eu-west-1", "must be dynamodb://TABLE?region=REGION"),
        ("dynamodb://?region=eu-west-1", "table: String should match pattern"),
        ("dynamodb://to?region=eu-west-1", "table: String should match pattern"),
        ("dynamodb://user:secret@tokend?region=eu-west-1", "table: String should match pattern"),
        ("dynamodb://tokend/other?region=eu-west-1", "must be dynamodb://TABLE?region=REGION"),
        (f"{URL}#part", "must be dynamodb://TABLE?region=REGION"),
        (f"{URL}&region=eu-west-2", "must name each parameter once"),
        (f"{URL}&table=other", "must name only the table before the question mark"),
        ("dynamodb://tokend?region=Ireland", "region: String should match pattern"),
        ("dynamodb://tokend?profile=blue", "region: Field required"),
        (f"{URL}&colour=blue", "colour: Extra inputs are not permitted"),
        (f"{URL}&endpoint_url=http://dynamodb.example", "endpoint_url: must be https, except on a loopback host"),
        (f"{URL}&role_arn=tokend", "role_arn: String should match pattern"),
        (f"{URL}&timeout_seconds=0", "timeout_seconds: Input should be greater than 0"),
        (f"{URL}&max_attempts=many", "max_attempts: Input should be a valid integer"),
    ],
)
def test_an_invalid_url_is_rejected_with_its_problem(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        table_of(url)
    assert str(raised.value).startswith(problem)
    assert "secret" not in str(raised.value)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"max_attempts: .*; region: "):
        table_of("dynamodb://tokend?region=here&max_attempts=0")

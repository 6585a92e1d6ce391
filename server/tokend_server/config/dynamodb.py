"""The URL of a store on Amazon DynamoDB: `dynamodb://TABLE?region=REGION`, and what else may be said in its query."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, ValidationError

from tokend_server.config.aws_client import AwsClientSettings, Region

#: How such URLs look, for people.
FORM = (
    "dynamodb://TABLE?region=REGION, with endpoint_url, profile, role_arn, kms_key_id, timeout_seconds, "
    "connect_timeout_seconds and max_attempts where they are needed"
)


class DynamoDbTable(AwsClientSettings):
    """A table, and how it is reached.

    Attributes:
        table: Its name.
        region: The region that it is in.
        kms_key_id: The KMS key of a table that is made; None for the one that AWS manages for DynamoDB.
    """

    table: str = Field(pattern=r"^[A-Za-z0-9_.-]{3,255}$")
    region: Region
    kms_key_id: str | None = Field(None, max_length=2048, pattern=r"^[A-Za-z0-9_:/-]+$")
    max_attempts: int = Field(4, ge=1, le=10)


def read_dynamodb(url: str) -> str:
    """Returns the URL of a table.

    Raises:
        ValueError: It is none; the text names all that is wrong with it, and repeats no value.
    """
    table_of(url)
    return url


def table_of(url: str) -> DynamoDbTable:
    """The table that a URL names.

    Raises:
        ValueError: As `read_dynamodb`.
    """
    try:
        parts = urlsplit(url)
        parameters = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise ValueError(f"must be {FORM}") from None
    if parts.scheme != "dynamodb" or parts.path or parts.fragment or not parts.query:
        raise ValueError(f"must be {FORM}")
    given: dict[str, Any] = dict(parameters)
    if len(given) < len(parameters):
        raise ValueError("must name each parameter once")
    if "table" in given:
        raise ValueError("must name the table before the question mark alone")
    try:
        return DynamoDbTable.model_validate({**given, "table": parts.netloc})
    except ValidationError as error:
        raise ValueError("; ".join(map(_problem, error.errors()))) from None


def _problem(details: Any) -> str:  # noqa: ANN401 - pydantic's own
    name = ".".join(map(str, details["loc"]))
    return f"{name}: {details['msg'].removeprefix('Value error, ')}"

"""The URL of a store on Amazon DynamoDB: `dynamodb://TABLE?region=REGION` with optional parameters."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, ValidationError

from tokend_server.config.aws_client import AwsClientSettings, Region

#: The form of such URLs in error texts.
FORM = (
    "dynamodb://TABLE?region=REGION, with endpoint_url, profile, role_arn, kms_key_id, timeout_seconds, "
    "connect_timeout_seconds and max_attempts as needed"
)


class DynamoDbTable(AwsClientSettings):
    """A table, and the settings of its client.

    Attributes:
        table: Its name.
        region: Its Region.
        kms_key_id: The KMS key of a new table; None for the one that AWS manages for DynamoDB.
    """

    table: str = Field(pattern=r"^[A-Za-z0-9_.-]{3,255}$")
    region: Region
    kms_key_id: str | None = Field(None, max_length=2048, pattern=r"^[A-Za-z0-9_:/-]+$")
    max_attempts: int = Field(4, ge=1, le=10)


def read_dynamodb(url: str) -> str:
    """Returns the URL of a table.

    Raises:
        ValueError: It is not such a URL; the text lists all problems without values.
    """
    table_of(url)
    return url


def table_of(url: str) -> DynamoDbTable:
    """Returns the table of a URL.

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
        raise ValueError("must name only the table before the question mark")
    try:
        return DynamoDbTable.model_validate({**given, "table": parts.netloc})
    except ValidationError as error:
        raise ValueError("; ".join(map(_problem, error.errors()))) from None


def _problem(details: Any) -> str:  # noqa: ANN401 - pydantic's own
    name = ".".join(map(str, details["loc"]))
    return f"{name}: {details['msg'].removeprefix('Value error, ')}"

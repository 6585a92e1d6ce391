"""Tokens that replace passwords for databases of Amazon RDS and Aurora with IAM authentication.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
"""

from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError

from tokend_server.aws.client import aws_client
from tokend_server.clock import Clock


@dataclass(frozen=True, slots=True)
class _Settings:
    """The `ClientSettings` of a client that sends no requests, with boto3's default credentials."""

    endpoint_url: str | None = None
    profile: str | None = None
    role_arn: str | None = None
    timeout_seconds: float = 5.0
    connect_timeout_seconds: float = 1.0
    max_attempts: int = 1


class NoRdsToken(Exception):
    """Raised when there are no credentials to sign a token, for the reason in the text."""


def rds_tokens(region: str, host: str, port: int, user: str, clock: Clock) -> Callable[[], str]:
    """Returns a function that creates tokens, each valid for new connections for 15 minutes.

    Args:
        region: The Region of the database.
        host: Its host, as used for connections.
        port: Its port.
        user: Its user, who has the role `rds_iam`.
        clock: The time.

    Returns:
        The function, which raises `NoRdsToken`.

    Raises:
        ValueError: There is no such Region.
    """
    client, _ = aws_client("rds", _Settings(), region, connections=1, clock=clock)

    def token() -> str:
        try:
            made: str = client.generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user)
        except (BotoCoreError, TimeoutError) as error:
            raise NoRdsToken(str(error) or type(error).__name__) from error
        return made

    return token

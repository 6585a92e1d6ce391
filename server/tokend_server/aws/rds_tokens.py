"""What stands for a password at databases of Amazon RDS and Aurora that know AWS's IAM.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
"""

from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError

from tokend_server.aws.client import aws_client
from tokend_server.clock import Clock


@dataclass(frozen=True, slots=True)
class _Settings:
    """As of `ClientSettings`; the client sends nothing, and asks for credentials as boto3 does."""

    endpoint_url: str | None = None
    profile: str | None = None
    role_arn: str | None = None
    timeout_seconds: float = 5.0
    connect_timeout_seconds: float = 1.0
    max_attempts: int = 1


class NoToken(Exception):
    """Raised when there are no credentials to sign a token with; the text says why."""


def rds_tokens(region: str, host: str, port: int, user: str, clock: Clock) -> Callable[[], str]:
    """Makes tokens, each of which opens connections for 15 minutes.

    Args:
        region: The region of the database.
        host: Its host, as it is connected to.
        port: Its port.
        user: Its user, who has the role `rds_iam`.
        clock: The time.

    Returns:
        What makes one; it raises `NoToken`.

    Raises:
        ValueError: There is no such region.
    """
    client, _ = aws_client("rds", _Settings(), region, connections=1, clock=clock)

    def token() -> str:
        try:
            made: str = client.generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user)
        except (BotoCoreError, TimeoutError) as error:
            raise NoToken(str(error) or type(error).__name__) from error
        return made

    return token

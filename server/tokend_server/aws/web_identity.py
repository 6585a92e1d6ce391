"""Credentials of roles that AWS STS lets holders of tokend's tokens assume."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from tokend_server.aws.attempts import Attempts, RetryTransientFailures
from tokend_server.aws.client import ClientSettings, aws_client
from tokend_server.aws.transport import CURRENT_UPSTREAM_CALL, UpstreamCall
from tokend_server.aws.web_identity_faults import FAULTS, NO_CLIENT, OPERATION, ROWS
from tokend_server.clock import Clock, Deadline
from tokend_server.errors import EngineUnavailable
from tokend_server.model import Secret, TemporaryCredentials, WebIdentity

#: Cognito's session name in CloudTrail and in the ARN of the assumed role.
_SESSION_NAME = "CognitoIdentityCredentials"


class StsCredentials:
    """A `CredentialSource` that calls AWS STS, for which it needs no credentials.

    Args:
        settings: The settings of clients of STS.
        region: The Region of STS; None for the Region of each pool.
        connections: The number of connections that are kept open to each Region.
        clock: The time.
    """

    def __init__(self, settings: ClientSettings, region: str | None, *, connections: int, clock: Clock) -> None:
        self._settings = settings
        self._region = region
        self._clock = clock
        self._client: Callable[[str], Any] = cache(lambda name: self._create_client(name, connections))

    def open(self, regions: Iterable[str]) -> None:
        """Creates the clients for pools of these Regions, instead of at the first call for each.

        Raises:
            ValueError: The profile, the Region or the endpoint cannot be used.
        """
        for region in regions:
            self._client(self._region or region)

    def credentials(
        self, web_identity: WebIdentity, role_arn: str, region: str, deadline: Deadline
    ) -> TemporaryCredentials:
        try:
            client = self._client(self._region or region)
        except ValueError:
            raise NO_CLIENT.to_error() from None
        response = self._assume_role(client, web_identity.token, role_arn, deadline)
        try:
            found = response["Credentials"]
            return TemporaryCredentials(
                access_key_id=_text(found["AccessKeyId"]),
                secret_key=Secret(_text(found["SecretAccessKey"])),
                session_token=Secret(_text(found["SessionToken"])),
                expire_time=int(found["Expiration"].timestamp()),
            )
        except (KeyError, TypeError, AttributeError):
            raise ROWS.not_service.to_error() from None

    def _assume_role(self, client: Any, token: Secret, role_arn: str, deadline: Deadline) -> Mapping[str, Any]:  # noqa: ANN401 - boto3's
        limit = Deadline(
            self._clock, min(self._clock.monotonic() + self._settings.timeout_seconds, deadline.expires_at)
        )
        bound = CURRENT_UPSTREAM_CALL.set(UpstreamCall(OPERATION, limit))
        try:
            response: Mapping[str, Any] = client.assume_role_with_web_identity(
                RoleArn=role_arn, RoleSessionName=_SESSION_NAME, WebIdentityToken=token.reveal()
            )
        except Exception as error:  # noqa: BLE001 - the tables sort what boto3 raises
            if not limit.remaining():  # whatever the error, a lack of time may be the cause
                deadline.check()
                raise EngineUnavailable("AWS STS did not answer in time.") from None
            # An error without a row is a defect of tokend.
            raise (fault.to_error() if (fault := FAULTS.row(error)) else error) from None
        finally:
            CURRENT_UPSTREAM_CALL.reset(bound)
        return response

    def _create_client(self, region: str, connections: int) -> Any:  # noqa: ANN401 - boto3's clients have no types
        client, _ = aws_client("sts", self._settings, region, connections=connections, clock=self._clock)
        Attempts(client, RetryTransientFailures(FAULTS), max_attempts=self._settings.max_attempts, clock=self._clock)
        return client


def _text(value: object) -> str:
    """Returns a non-empty text, which botocore does not produce for an empty or nested XML element.

    Raises:
        TypeError: It is not a non-empty text.
    """
    if not isinstance(value, str) or not value:
        raise TypeError
    return value

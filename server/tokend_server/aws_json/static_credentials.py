"""Fake credentials for tests."""

import base64
import hashlib

from tokend_server.clock import Clock, Deadline
from tokend_server.model import Secret, TemporaryCredentials, WebIdentity

#: Their validity in seconds, as in Cognito's enhanced flow.
_LIFE = 3600


class StaticCredentials:
    """A `CredentialSource` of fake credentials, which depend only on the identity and the role.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def credentials(
        self, web_identity: WebIdentity, role_arn: str, region: str, deadline: Deadline
    ) -> TemporaryCredentials:
        del region
        deadline.check()
        return fake_credentials(web_identity.identity_id, role_arn, int(self._clock.now()) + _LIFE)


def fake_credentials(identity_id: str, role_arn: str, expire_time: int) -> TemporaryCredentials:
    """Returns fake credentials of a role for an identity, with an expiration."""
    digest = hashlib.sha512(f"{identity_id} {role_arn}".encode()).digest()
    return TemporaryCredentials(
        access_key_id=f"ASIA{base64.b32encode(digest)[:16].decode()}",
        secret_key=Secret(base64.b64encode(digest[10:40]).decode()),
        session_token=Secret(base64.b64encode(digest[32:]).decode()),
        expire_time=expire_time,
    )

"""AWS credentials for a token, with `AssumeRoleWithWebIdentity` of STS. Requires the extra `aws`."""

from datetime import timedelta
from typing import Any

import botocore.session
from botocore.credentials import AssumeRoleWithWebIdentityCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import ClientError

from tokend_client.source import TokenSource

#: The error codes with which STS rejects a token (API reference of AssumeRoleWithWebIdentity).
_REJECTIONS = frozenset({"ExpiredTokenException", "IDPRejectedClaim", "InvalidIdentityToken"})

#: STS's minimum.
_MIN_DURATION = timedelta(minutes=15)


def web_identity_session(
    source: TokenSource, role_arn: str, *, role_session_name: str, duration: timedelta | None = None
) -> botocore.session.Session:
    """Returns a botocore session with the credentials of a role, assumed with the source's token.

    botocore assumes the role on first use, and again before the credentials expire, each time with a usable token.
    Without a token, the source's `TokendError` is raised. If STS rejects a token, the token is dropped and the request
    is retried once with a new one. Settings such as the region and the STS endpoint are botocore's.

    A session is for one user: create one per source.

    Args:
        source: The source of the tokens.
        role_arn: The role to assume.
        role_session_name: Identifies the session in CloudTrail.
        duration: The lifetime of the credentials, in whole seconds; None for STS's default of one hour.

    Raises:
        ValueError: `duration` is less than 15 minutes, or not in whole seconds.
    """
    settings: dict[str, Any] = {"RoleSessionName": role_session_name}
    if duration is not None:
        if duration < _MIN_DURATION or duration.microseconds:
            raise ValueError(f"duration must be whole seconds, 900 or more: {duration}")
        settings["DurationSeconds"] = duration // timedelta(seconds=1)
    session = botocore.session.get_session()
    provider = _Provider(_Fetcher(session, source, role_arn, settings))
    session.get_component("credential_provider").insert_before("env", provider)
    return session


class _Fetcher:
    def __init__(
        self, session: botocore.session.Session, source: TokenSource, role_arn: str, settings: dict[str, Any]
    ) -> None:
        self._source = source
        self._sent = ""
        self._fetcher = AssumeRoleWithWebIdentityCredentialFetcher(
            session.create_client, self._load_token, role_arn, extra_args=settings
        )

    def fetch_credentials(self) -> Any:  # noqa: ANN401 - botocore's own
        try:
            return self._fetcher.fetch_credentials()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _REJECTIONS:
                raise
            self._source.invalidate(self._sent)
        return self._fetcher.fetch_credentials()

    def _load_token(self) -> str:
        self._sent = self._source.token().value
        return self._sent


class _Provider:
    """A credential provider, with the methods that botocore calls."""

    METHOD = CANONICAL_NAME = "tokend"

    def __init__(self, fetcher: _Fetcher) -> None:
        self._fetcher = fetcher

    def load(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._fetcher.fetch_credentials, self.METHOD)

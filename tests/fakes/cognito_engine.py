"""An Engine that responds like a Cognito that knows every user, and stores nothing."""

import base64
import itertools
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from tokend_server.aws_json.errors import AwsError
from tokend_server.clock import Clock, Deadline
from tokend_server.engine import Engine
from tokend_server.model import (
    DeveloperIdentity,
    IdentityOutcome,
    IssuedToken,
    LookupRequest,
    MergeRequest,
    NumericDate,
    Secret,
    TokenRequest,
    UnlinkRequest,
    refresh_time,
)

ISSUER = "https://cognito-identity.amazonaws.com"

#: The key that signs its tokens.
KEY_ID = "us-east-1-9"


def identity_id_of(identity_pool_id: str, user: str) -> str:
    """Returns the identity of a user of the pool, the same in every run."""
    return f"{identity_pool_id.partition(':')[0]}:{uuid.uuid5(uuid.NAMESPACE_OID, f'{identity_pool_id} {user}')}"


def unsigned_jwt(identity_id: str, identity_pool_id: str, iat: NumericDate, exp: NumericDate, serial: int) -> str:
    """Returns a token in Cognito's format with a serial number, and a random signature of the right length."""
    header = {"kid": KEY_ID, "typ": "JWS", "alg": "RS512"}
    claims = {"sub": identity_id, "aud": identity_pool_id, "amr": ["authenticated"], "iss": ISSUER}
    parts = (json.dumps(header).encode(), json.dumps(claims | {"exp": exp, "iat": iat}).encode(), serial.to_bytes(256))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


class CognitoLikeEngine:
    """Every user has a fixed identity. Every token is different, with times by the given clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._serials = itertools.count(1)

    def get_open_id_token_for_developer_identity(self, request: TokenRequest, _deadline: Deadline) -> IssuedToken:
        users = "\n".join(f"{name}={value.reveal()}" for name, value in sorted(request.logins.items()))
        only = next(iter(request.logins.values())).reveal() if len(request.logins) == 1 else users
        identity_id = request.identity_id or identity_id_of(request.identity_pool_id, only)
        iat = int(self._clock.now())
        exp = iat + int(request.token_duration.total_seconds())
        token = unsigned_jwt(identity_id, request.identity_pool_id, iat, exp, next(self._serials))
        return IssuedToken(
            identity_id, Secret(token), exp, refresh_time(iat, exp), "RS512", KEY_ID, IdentityOutcome.RETRIEVED
        )

    def lookup_developer_identity(self, request: LookupRequest, _deadline: Deadline) -> DeveloperIdentity:
        user = request.developer_user_identifier or Secret("alice")
        identity_id = request.identity_id or identity_id_of(request.identity_pool_id, user.reveal())
        return DeveloperIdentity(identity_id, (user,))

    def merge_developer_identities(self, request: MergeRequest, _deadline: Deadline) -> str:
        return identity_id_of(request.identity_pool_id, request.destination_user_identifier.reveal())

    def unlink_developer_identity(self, request: UnlinkRequest, _deadline: Deadline) -> None:
        """Does nothing, since it keeps no state of callers."""


class FailingEngine:
    """Fails every operation with one AWS error."""

    def __init__(self, error: AwsError) -> None:
        self._error = error

    def _fail(self, _request: object, _deadline: Deadline) -> Any:  # noqa: ANN401 - as every operation returns
        raise self._error

    get_open_id_token_for_developer_identity = _fail
    lookup_developer_identity = _fail
    merge_developer_identities = _fail
    unlink_developer_identity = _fail


class EveryPool(Mapping[str, Engine]):
    """One engine for all pools."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getitem__(self, _identity_pool_id: str) -> Engine:
        return self._engine

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

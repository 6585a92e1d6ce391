"""A local engine on a separate SQLite file, with a clock and identity ids set by the test."""

import itertools
import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jwt
from tests.fakes.clock import FakeClock
from tests.fakes.login_provider import FakeLoginProvider

from tokend_server.clock import Deadline
from tokend_server.config import KeyTimes
from tokend_server.engines.local.administration import IdentityAdministration
from tokend_server.engines.local.backend import LocalBackend
from tokend_server.engines.local.engine import LocalEngine
from tokend_server.engines.local.keys.fetch_log import FetchLog
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.refresh import KeyRefresh
from tokend_server.engines.local.keys.rotation import KeyRotation
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.keys.task import KeyTask
from tokend_server.engines.local.keys.verifier_watch import VerifierWatch
from tokend_server.engines.local.pool import LocalPool
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.model import Identity, IssuedToken, LookupRequest, MergeRequest, Secret, TokenRequest, UnlinkRequest

POOL = "eu-west-1:11111111-2222-3333-4444-555555555555"
OTHER_POOL = "eu-west-1:99999999-2222-3333-4444-555555555555"
DEVELOPER = "login.example.test"
ISSUER = "https://tokens.example.test"
PUBLIC_PROVIDERS = ("accounts.google.com", "idp.example.test")
NOW = 1_800_000_000


class LocalEngineUnderTest:
    """The engine, with shortcuts for tests."""

    def __init__(
        self,
        directory: Path,
        *,
        algorithm: SigningAlgorithm = SigningAlgorithm.ES256,
        identity_pool_id: str = POOL,
        identity_pool_arn_claim: bool = False,
        token_type: TokenType = TokenType.JWS,
    ) -> None:
        self.clock = FakeClock(now=NOW)
        self.store = open_store(directory / "tokend.db")
        self.store.migrate()
        times = KeyTimes()
        self.signer = TokenSigner(self.store, StoredKeys(), self.clock, times)
        self.signer.ensure_keys(frozenset({algorithm}))
        self.providers = {name: FakeLoginProvider() for name in PUBLIC_PROVIDERS}
        self.pool = LocalPool(
            identity_pool_id=identity_pool_id,
            developer_provider_name=DEVELOPER,
            login_providers=self.providers,
            signing_algorithm=algorithm,
            token_type=token_type,
            account_id="123456789012",
            identity_pool_arn_claim=identity_pool_arn_claim,
            issuer=ISSUER,
        )
        numbers = itertools.count(1)
        self.engine = LocalEngine(
            self.pool, self.store, self.signer, self.clock, lambda: f"{next(numbers):08x}", nullcontext
        )
        self.key_refresh = KeyRefresh(self.signer, failed=lambda: None)
        self.key_failures: list[str] = []
        rotation = KeyRotation(self.store, StoredKeys(), self.clock, times)
        failed, algorithms = self.key_failures.append, frozenset({algorithm})
        fetches = FetchLog(self.clock, lambda: None)
        watch = VerifierWatch("server", fetches, self.signer, self.store, algorithms, self.clock, times, failed)
        self.key_task = KeyTask(
            self.signer,
            self.key_refresh,
            rotation,
            watch,
            algorithms,
            self.clock,
            times,
            failed,
        )
        self.backend = LocalBackend(self.store.check, self.key_task, self.signer, frozenset({algorithm}))
        guests = itertools.count(1)
        self.administration = IdentityAdministration(
            identity_pool_id, self.store, self.clock, lambda: f"{next(guests):08x}-fe"
        )
        self.deadline = Deadline(self.clock)

    def close(self) -> None:
        self.store.close()

    def issue(
        self,
        logins: Mapping[str, str] | str,
        identity_id: str | None = None,
        **options: Any,  # noqa: ANN401
    ) -> IssuedToken:
        """Returns a token for these logins, or for one developer user."""
        given = {DEVELOPER: logins} if isinstance(logins, str) else logins
        request = TokenRequest(
            self.pool.identity_pool_id, {name: Secret(value) for name, value in given.items()}, identity_id, **options
        )
        return self.engine.get_open_id_token_for_developer_identity(request, self.deadline)

    def identity_of(self, logins: Mapping[str, str] | str, identity_id: str | None = None) -> str:
        return self.issue(logins, identity_id).identity_id

    def merge(self, source: str, destination: str) -> str:
        request = MergeRequest(self.pool.identity_pool_id, DEVELOPER, Secret(source), Secret(destination))
        return self.engine.merge_developer_identities(request, self.deadline)

    def unlink(self, identity_id: str, user: str) -> None:
        request = UnlinkRequest(self.pool.identity_pool_id, identity_id, DEVELOPER, Secret(user))
        self.engine.unlink_developer_identity(request, self.deadline)

    def users_of(self, identity_id: str) -> set[str]:
        request = LookupRequest(self.pool.identity_pool_id, identity_id)
        found = self.engine.lookup_developer_identity(request, self.deadline)
        return {user.reveal() for user in found.developer_user_identifiers}

    def guest(self) -> str:
        return self.administration.create().identity_id

    def stored(self, identity_id: str) -> Identity:
        return self.administration.describe(identity_id)

    def claims(self, issued: IssuedToken) -> dict[str, Any]:
        """Returns the claims of a token, verified with the published keys by another library than the signer's."""
        keys = jwt.PyJWKSet.from_json(self.signer.key_set().jwks.decode())
        key = keys[jwt.get_unverified_header(issued.token.reveal())["kid"]]
        claims: dict[str, Any] = jwt.decode(
            issued.token.reveal(),
            key,
            algorithms=[self.pool.signing_algorithm.value],
            audience=self.pool.identity_pool_id,
            issuer=ISSUER,
            options={"verify_exp": False, "verify_iat": False},
        )
        return claims


def parts_of(token: Secret) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the header and the claims of a token, with members in their original order."""
    header, payload, _signature = token.reveal().split(".")
    return _decoded(header), _decoded(payload)


def _decoded(part: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(jwt.utils.base64url_decode(part))
    return decoded

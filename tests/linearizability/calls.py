"""Calls of the local engine's operations and their results, as values that processes can exchange."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from tests.fakes.login_provider import FakeLoginProvider

from tokend_server.clock import Deadline, SystemClock
from tokend_server.engines.local.administration import IdentityAdministration
from tokend_server.engines.local.engine import LocalEngine
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.pool import LocalPool
from tokend_server.errors import TokendError
from tokend_server.model import LookupRequest, MergeRequest, Secret, TokenRequest, UnlinkRequest

DEVELOPER = "login.example.test"
PUBLIC = "idp.example.test"

#: The result of a call: its kind, the identity, and other values of the operation.
Answer: TypeAlias = tuple[str, ...]


class Engines(NamedTuple):
    """The engines of one pool."""

    engine: LocalEngine
    administration: IdentityAdministration


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        operation: The operation.
        logins: The logins, or the users in the operation's own order under the names of its parameters.
        identity_id: The named identity.
    """

    operation: str
    logins: Mapping[str, str] = field(default_factory=dict)
    identity_id: str | None = None


def pool(identity_pool_id: str) -> LocalPool:
    return LocalPool(
        identity_pool_id=identity_pool_id,
        developer_provider_name=DEVELOPER,
        login_providers={PUBLIC: FakeLoginProvider()},
        signing_algorithm=SigningAlgorithm.ES256,
        token_type=TokenType.JWS,
        account_id="123456789012",
        identity_pool_arn_claim=False,
        issuer="https://tokens.example.test",
    )


def answer(engines: Engines, identity_pool_id: str, call: Call) -> Answer:
    """Makes the call, and returns its result."""
    try:
        return _ANSWERS[call.operation](engines, identity_pool_id, call)
    except TokendError as error:
        return ("error", type(error).__name__)


def _token(engines: Engines, identity_pool_id: str, call: Call) -> Answer:
    logins = {name: Secret(value) for name, value in call.logins.items()}
    request = TokenRequest(identity_pool_id, logins, call.identity_id)
    issued = engines.engine.get_open_id_token_for_developer_identity(request, _deadline())
    return ("identity", issued.identity_id, str(issued.outcome))


def _token_alone(engines: Engines, identity_pool_id: str, call: Call) -> Answer:
    """Returns the result in a response of the contract, without whether the identity is new."""
    return _token(engines, identity_pool_id, call)[:2]


def _lookup(engines: Engines, identity_pool_id: str, call: Call) -> Answer:
    user = call.logins.get("user")
    request = LookupRequest(identity_pool_id, call.identity_id, Secret(user) if user else None)
    found = engines.engine.lookup_developer_identity(request, _deadline())
    return ("users", found.identity_id, *sorted(each.reveal() for each in found.developer_user_identifiers))


def _merge(engines: Engines, identity_pool_id: str, call: Call) -> Answer:
    source, destination = Secret(call.logins["source"]), Secret(call.logins["destination"])
    request = MergeRequest(identity_pool_id, DEVELOPER, source, destination)
    return ("identity", engines.engine.merge_developer_identities(request, _deadline()))


def _unlink(engines: Engines, identity_pool_id: str, call: Call) -> Answer:
    request = UnlinkRequest(identity_pool_id, call.identity_id or "", DEVELOPER, Secret(call.logins["user"]))
    engines.engine.unlink_developer_identity(request, _deadline())
    return ("unlinked",)


def _delete(engines: Engines, _identity_pool_id: str, call: Call) -> Answer:
    engines.administration.delete(call.identity_id or "")
    return ("deleted",)


_ANSWERS: Mapping[str, Callable[[Engines, str, Call], Answer]] = {
    "token": _token,
    "token alone": _token_alone,
    "lookup": _lookup,
    "merge": _merge,
    "unlink": _unlink,
    "delete": _delete,
}


def _deadline() -> Deadline:
    return Deadline(SystemClock())

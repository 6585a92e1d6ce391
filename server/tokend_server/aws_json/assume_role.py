"""AssumeRoleWithWebIdentity: fake credentials for the holders of this service's tokens.

AWS STS API Reference, "AssumeRoleWithWebIdentity"; AWS's texts are from reports of its clients.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.nested_shapes import ListOf, Structure
from tokend_server.aws_json.public import set_audited_result
from tokend_server.aws_json.roles import rules_of
from tokend_server.aws_json.shaped import Output, ShapedOperation
from tokend_server.aws_json.shapes import Integer, Text
from tokend_server.aws_json.static_credentials import fake_credentials
from tokend_server.clock import Clock, Deadline
from tokend_server.config.key_times import CLOCK_SKEW
from tokend_server.engine import IdentityPools
from tokend_server.errors import CallerNotAllowed, InvalidParameter, NotAuthorized, ResourceNotFound, TokendError
from tokend_server.model import KeySet, Secret, StsOperation
from tokend_server.oidc.claims import ClaimRefused, ClaimRules, Problem, read_claims
from tokend_server.oidc.published_keys import PublishedKeys
from tokend_server.oidc.tokens import (
    ALGORITHMS,
    MalformedToken,
    NotVerified,
    SignedToken,
    TokenVerifier,
    VerifiedClaims,
    read_token,
)
from tokend_server.rpc.call import current_call

_ARN = Text(2048, r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+", min_length=20)

ASSUME_ROLE = ShapedOperation(
    StsOperation.ASSUME_ROLE_WITH_WEB_IDENTITY,
    {
        "RoleArn": _ARN,
        "RoleSessionName": Text(64, r"[\w+=,.@-]*", min_length=2),
        "WebIdentityToken": Text(20_000, is_secret=True, min_length=4),
        "ProviderId": Text(2048, min_length=4),
        "PolicyArns": ListOf(Structure({"arn": _ARN})),
        "Policy": Text(2048, r"[\u0009\u000A\u000D\u0020-\u00FF]+"),
        "DurationSeconds": Integer(900, 43_200),
        "MinimumSessionTokenSize": Integer(0, 4096),
    },
    frozenset({"RoleArn", "RoleSessionName", "WebIdentityToken"}),
)

_LIFE = 3600

_ROLE_ARN = re.compile(
    r"arn:(?P<partition>[\w-]+):iam::(?P<account>\d{12}):role/(?:.*/)?(?P<name>[\w+=,.@-]{1,64})", re.ASCII
)

_VERIFIER = TokenVerifier(ALGORITHMS)


class RoleAssumption:
    """Performs the operation for the current call.

    Args:
        key_set: Returns the current published keys of this service.
        issuer: The `iss` of its tokens.
        pools: The pools, with their roles.
        admission: Checks policy and limits.
        clock: The clock for tokens' times.
    """

    def __init__(
        self, key_set: Callable[[], KeySet], issuer: str, pools: IdentityPools, admission: Admission, clock: Clock
    ) -> None:
        self._keys = PublishedKeys(key_set)
        self._issuer = issuer
        self._pools = pools
        self._admission = admission
        self._clock = clock

    def assume_role(self, given: Mapping[str, Any]) -> Output:
        """Executes the current call with the members of its input, which are not checked yet."""
        deadline = self._admission.admit_on_any_pool(ASSUME_ROLE, given, AuditedRequest())
        role = _ROLE_ARN.fullmatch(given["RoleArn"])
        if role is None:
            raise _invalid_arn(given["RoleArn"])
        _check_session_policy(given)
        now = self._clock.now()
        claims = self._verified(given, now, deadline)
        self._check_role(claims, given["RoleArn"], deadline)
        expire_time = int(now) + given.get("DurationSeconds", _LIFE)
        credentials = fake_credentials(claims["sub"], given["RoleArn"], expire_time)
        set_audited_result(AuditedResult(claims["sub"], expire_time=expire_time, role_arn=given["RoleArn"]))
        session, account = given["RoleSessionName"], role["account"]
        return {
            "SubjectFromWebIdentityToken": claims["sub"],
            "Audience": claims["aud"],
            "AssumedRoleUser": {
                "Arn": f"arn:{role['partition']}:sts::{account}:assumed-role/{role['name']}/{session}",
                "AssumedRoleId": f"{_role_id(given['RoleArn'])}:{session}",
            },
            "Credentials": {
                "AccessKeyId": credentials.access_key_id,
                "SecretAccessKey": credentials.secret_key.reveal(),
                "SessionToken": credentials.session_token.reveal(),
                "Expiration": datetime.fromtimestamp(expire_time, UTC),
            },
            "Provider": self._issuer,
        }

    def _verified(self, given: Mapping[str, Any], now: float, deadline: Deadline) -> VerifiedClaims:
        """Returns the claims of a token of this service that is valid now.

        Raises:
            NotAuthorized: It is not such a token; the error has STS's code.
        """
        signed = _parse_token(Secret(given["WebIdentityToken"]))
        issuer = given.get("ProviderId", signed.claims.get("iss"))
        if issuer != self._issuer or "ProviderId" in given:
            shown = str(issuer).encode(errors="replace").decode()  # JSON can contain lone surrogates
            raise _refused(f"No OpenIDConnect provider found in your account for {shown}")
        try:
            claims = _VERIFIER.verify(signed, self._keys, deadline)
        except NotVerified:
            raise _refused("The signature of the token is not valid.") from None
        audience = claims.get("aud")
        rules = ClaimRules(audiences=(audience,) if isinstance(audience, str) else (), skew=CLOCK_SKEW)
        try:
            read = read_claims(claims, rules, now)
        except ClaimRefused as refused:
            raise _refusal_of_claim(refused, claims, now) from None
        if read.expire_time <= now:
            raise _expired(claims, now)
        return claims

    def _check_role(self, claims: VerifiedClaims, role_arn: str, deadline: Deadline) -> None:
        """Checks that the token's pool has the role for users, or for guests if the token is a guest's.

        Raises:
            NotAuthorized: There is no such pool.
            CallerNotAllowed: The token may not assume the role.
        """
        pool_id = claims["aud"]
        current_call().audited = AuditedRequest(pool_id, claims["sub"]), AuditedResult()
        try:
            self._admission.check_allowed(pool_id)
            roles = self._pools.describe(pool_id, deadline).roles
        except ResourceNotFound:
            raise _refused("Incorrect token audience") from None
        if role_arn not in _roles_of(roles, claims):
            raise CallerNotAllowed("The pool does not assign the role to holders of such tokens.")


def _roles_of(roles: Mapping[str, Any], claims: VerifiedClaims) -> frozenset[str | None]:
    """Returns the roles whose trust policy allows a token, if the policies are those of Cognito's console.

    Such a policy checks `aud` and `amr`, but not the rule by which a user gets a role.
    """
    kinds: Mapping[str, str] = roles.get("Roles", {})
    if "authenticated" not in claims.get("amr", ()):
        return frozenset({kinds.get("unauthenticated")})
    mappings = roles.get("RoleMappings", {}).values()
    rules = (rule for each in mappings for rule in rules_of(each))
    return frozenset({kinds.get("authenticated"), *(rule["RoleARN"] for rule in rules)})


def _parse_token(token: Secret) -> SignedToken:
    try:
        return read_token(token)
    except MalformedToken:
        text = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
        raise _refused(text) from None


def _check_session_policy(given: Mapping[str, Any]) -> None:
    try:
        is_policy = isinstance(json.loads(given.get("Policy", "{}")), dict)
    except (ValueError, RecursionError):
        is_policy = False
    if not is_policy:
        raise _with_code(InvalidParameter("The policy is not in the valid JSON format."), "MalformedPolicyDocument")


def _refusal_of_claim(refused: ClaimRefused, claims: VerifiedClaims, now: float) -> TokendError:
    if refused.problem is Problem.EXPIRED:
        return _expired(claims, now)
    if refused.problem is Problem.FOR_OTHERS:
        return _refused("Incorrect token audience")
    return _refused(f"The claim {refused.claim} of the token {refused.problem.value}.")


def _expired(claims: VerifiedClaims, now: float) -> TokendError:
    text = f"Token expired: current date/time {int(now)} must be before the expiration date/time {int(claims['exp'])}"
    return _with_code(NotAuthorized(text), "ExpiredTokenException")


def _invalid_arn(arn: str) -> TokendError:
    return InvalidParameter("Request ARN is invalid" if arn.startswith("arn:") else f"{arn} is invalid")


def _refused(text: str) -> TokendError:
    return _with_code(NotAuthorized(text), "InvalidIdentityToken")


def _with_code(error: TokendError, code: str) -> TokendError:
    error.aws_error_code = code
    return error


def _role_id(role_arn: str) -> str:
    return f"AROA{base64.b32encode(hashlib.sha256(role_arn.encode()).digest())[:17].decode()}"

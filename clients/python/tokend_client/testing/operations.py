"""The four operations on `FakeIdentities`."""

import base64
import threading
from collections.abc import Mapping
from typing import Any, NoReturn

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_client.clock import Clock
from tokend_client.errors import ErrorReason, Resource
from tokend_client.testing.failures import Refused
from tokend_client.testing.identities import FakeIdentities
from tokend_client.testing.limits import violations
from tokend_client.testing.signer import FakeSigner

_DEFAULT_TOKEN_DURATION = 900
_MAX_PAGE = 60


class FakeOperations:
    """Handles requests as the service does, one at a time. All rejections are raised as `Refused`.

    Attributes:
        issuer: The `iss` of tokens.
        signer: Signs the tokens.
    """

    def __init__(
        self, identity_pool_id: str, developer_provider_name: str, issuer: str, clock: Clock, signer: FakeSigner
    ) -> None:
        self._identity_pool_id = identity_pool_id
        self._developer_provider_name = developer_provider_name
        self.issuer = issuer
        self._clock = clock
        self._identities = FakeIdentities(identity_pool_id, developer_provider_name)
        self._lock = threading.Lock()
        self.signer = signer

    def get_open_id_token(
        self, request: pb.GetOpenIdTokenForDeveloperIdentityRequest
    ) -> pb.GetOpenIdTokenForDeveloperIdentityResponse:
        self._check(request)
        duration = request.token_duration.seconds if request.HasField("token_duration") else _DEFAULT_TOKEN_DURATION
        with self._lock:
            identity_id = self._identities.register_or_retrieve(request.logins, request.identity_id or None)
        now = self._clock.now()
        issued_at = int(now)
        response = pb.GetOpenIdTokenForDeveloperIdentityResponse(
            identity_id=identity_id,
            token=self.signer.sign(self._claims(request, identity_id, issued_at, issued_at + duration)),
        )
        response.expire_time.FromSeconds(issued_at + duration)
        response.refresh_time.FromSeconds(issued_at + duration // 3)
        response.issue_time.FromMilliseconds(int(now * 1000))
        return response

    def lookup(self, request: pb.LookupDeveloperIdentityRequest) -> pb.LookupDeveloperIdentityResponse:
        self._check(request)
        user = request.developer_user_identifier
        if not user and not request.identity_id:
            _raise_invalid_parameter("Either IdentityId or DeveloperUserIdentifier must be given.")
        with self._lock:
            identity_id = request.identity_id or self._identities.identity_of(user)
            users = self._identities.users_of(identity_id)
        if user and request.identity_id:
            if user not in users:
                text = "The identity and the developer user do not belong together."
                raise Refused(ErrorReason.RESOURCE_CONFLICT, text)
            return pb.LookupDeveloperIdentityResponse(identity_id=identity_id, developer_user_identifier_list=[user])
        after = _parse_page_token(request.next_token, identity_id) if request.next_token else ""
        rest = [each for each in users if each > after]
        page = rest[: request.max_results or _MAX_PAGE]
        return pb.LookupDeveloperIdentityResponse(
            identity_id=identity_id,
            developer_user_identifier_list=page,
            next_token=_page_token(identity_id, page[-1]) if len(page) < len(rest) else "",
        )

    def merge(self, request: pb.MergeDeveloperIdentitiesRequest) -> pb.MergeDeveloperIdentitiesResponse:
        self._check(request)
        self._check_provider(request.developer_provider_name)
        with self._lock:
            kept = self._identities.merge(request.source_user_identifier, request.destination_user_identifier)
        return pb.MergeDeveloperIdentitiesResponse(identity_id=kept)

    def unlink(self, request: pb.UnlinkDeveloperIdentityRequest) -> pb.UnlinkDeveloperIdentityResponse:
        self._check(request)
        self._check_provider(request.developer_provider_name)
        with self._lock:
            self._identities.unlink(request.identity_id, request.developer_user_identifier)
        return pb.UnlinkDeveloperIdentityResponse()

    def _check(self, request: Any) -> None:  # noqa: ANN401 - any of the four messages
        if found := violations(request):
            text = f"{len(found)} validation errors detected"
            raise Refused(ErrorReason.VALIDATION_FAILED, text, violations=found)
        pool_id = request.identity_pool_id
        if pool_id != self._identity_pool_id:
            text = f"IdentityPool '{pool_id}' not found."
            raise Refused(ErrorReason.RESOURCE_NOT_FOUND, text, resource=Resource("IdentityPool", pool_id))

    def _check_provider(self, developer_provider_name: str) -> None:
        if developer_provider_name != self._developer_provider_name:
            _raise_invalid_parameter("This identity pool does not support the specified developer provider")

    def _claims(
        self, request: pb.GetOpenIdTokenForDeveloperIdentityRequest, identity_id: str, iat: int, exp: int
    ) -> Mapping[str, Any]:
        provider = self._developer_provider_name
        user = f"{provider}:{self._identity_pool_id}:{request.logins[provider]}"
        claims: dict[str, Any] = {
            "sub": identity_id,
            "aud": self._identity_pool_id,
            "amr": ["authenticated", provider, user],
        }
        tags = {name: [value] for name, value in request.principal_tags.items()}
        if tags:
            claims |= {"https://aws.amazon.com/tags": {"principal_tags": tags}}
        return {**claims, "iss": self.issuer, "exp": exp, "iat": iat}


def _page_token(identity_id: str, last: str) -> str:
    """Returns a token with the last user of a page: users may be added or removed between two pages."""
    return base64.urlsafe_b64encode(f"{identity_id}\n{last}".encode()).decode()


def _parse_page_token(page_token: str, identity_id: str) -> str:
    """Returns the user in a page token, which is valid only for this identity."""
    try:
        named = base64.b64decode(page_token, b"-_", validate=True).decode()
    except ValueError:
        named = ""
    owner, _, last = named.partition("\n")
    if owner != identity_id:
        _raise_invalid_parameter("NextToken is not one that this operation returned.")
    return last


def _raise_invalid_parameter(text: str) -> NoReturn:
    raise Refused(ErrorReason.INVALID_PARAMETER, text)

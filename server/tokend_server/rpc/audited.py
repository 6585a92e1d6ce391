"""What the audit log has of the messages of the contract, and of what came of them: no secret among it."""

import base64
import json
from functools import lru_cache

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.model import DeveloperIdentity, IssuedToken


def token_request(message: pb.GetOpenIdTokenForDeveloperIdentityRequest) -> AuditedRequest:
    return AuditedRequest(
        message.identity_pool_id,
        message.identity_id,
        tuple(sorted(message.logins)),
        token_duration_seconds=message.token_duration.seconds if message.HasField("token_duration") else None,
        principal_tag_keys=tuple(sorted(message.principal_tags)),
    )


def issued_token(issued: IssuedToken) -> AuditedResult:
    outcome = issued.outcome.value if issued.outcome else None
    key_id = _key_id(issued.token.reveal().partition(".")[0])
    return AuditedResult(issued.identity_id, outcome, key_id, issued.expire_time)


def lookup_request(message: pb.LookupDeveloperIdentityRequest) -> AuditedRequest:
    return AuditedRequest(message.identity_pool_id, message.identity_id)


def found_identity(found: DeveloperIdentity) -> AuditedResult:
    return AuditedResult(found.identity_id)


def merge_request(message: pb.MergeDeveloperIdentitiesRequest) -> AuditedRequest:
    return AuditedRequest(message.identity_pool_id, developer_provider_name=message.developer_provider_name)


def merged_identity(identity_id: str) -> AuditedResult:
    return AuditedResult(identity_id)


def unlink_request(message: pb.UnlinkDeveloperIdentityRequest) -> AuditedRequest:
    return AuditedRequest(
        message.identity_pool_id, message.identity_id, developer_provider_name=message.developer_provider_name
    )


def unlinked(_result: None) -> AuditedResult:
    return AuditedResult()


@lru_cache(256)
def _key_id(encoded_header: str) -> str | None:
    """The `kid` of a token's header, which is the same for all tokens of a key."""
    try:
        header = json.loads(base64.urlsafe_b64decode(encoded_header + "=" * (-len(encoded_header) % 4)))
        return str(header["kid"])
    except (ValueError, TypeError, KeyError):
        return None

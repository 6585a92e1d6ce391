"""The contents of audit entries for the contract's requests and results, without secrets."""

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
    return AuditedResult(issued.identity_id, outcome, issued.key_id, issued.expire_time)


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

"""GetCredentialsForIdentity: temporary AWS credentials for users' own devices."""

from collections.abc import Mapping
from typing import Any

from tokend_server.access.audit.record import AuditedResult
from tokend_server.aws_json.public import LOGINS, PublicOperations, logins_of, set_audited_result
from tokend_server.aws_json.roles import choose_role, pool_roles, provider_of
from tokend_server.aws_json.shaped import IDENTITY_ID, Output, ShapedOperation
from tokend_server.aws_json.shapes import Text
from tokend_server.engine import CredentialSource, IdentityPools
from tokend_server.model import CognitoOperation, pool_region

GET_CREDENTIALS = ShapedOperation(
    CognitoOperation.GET_CREDENTIALS_FOR_IDENTITY,
    {"IdentityId": IDENTITY_ID, "Logins": LOGINS, "CustomRoleArn": Text(2048, min_length=20)},
    frozenset({"IdentityId"}),
)


class CredentialOperations:
    """Performs the operation for the current call.

    Args:
        public: Admits calls of devices.
        pools: The pools, with their roles.
        source: The source of credentials.
    """

    def __init__(self, public: PublicOperations, pools: IdentityPools, source: CredentialSource) -> None:
        self._public = public
        self._pools = pools
        self._source = source

    def get_credentials(self, given: Mapping[str, Any]) -> Output:
        """Executes the current call with the members of its input, which are not checked yet."""
        admitted = self._public.admitted(GET_CREDENTIALS, given)
        pool, deadline = admitted.identity_pool_id, admitted.deadline
        web_identity = admitted.engine.web_identity(given["IdentityId"], logins_of(given), deadline)
        given_roles = self._pools.describe(pool, deadline).roles
        roles = pool_roles(given_roles, provider_of(web_identity.claims), web_identity.client_id)
        role_arn = choose_role(roles, web_identity.claims, given.get("CustomRoleArn"))
        credentials = self._source.credentials(web_identity, role_arn, pool_region(pool), deadline)
        set_audited_result(
            AuditedResult(web_identity.identity_id, expire_time=credentials.expire_time, role_arn=role_arn)
        )
        return {
            "IdentityId": web_identity.identity_id,
            "Credentials": {
                "AccessKeyId": credentials.access_key_id,
                "SecretKey": credentials.secret_key.reveal(),
                "SessionToken": credentials.session_token.reveal(),
                "Expiration": credentials.expire_time,
            },
        }

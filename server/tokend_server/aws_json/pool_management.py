"""The operations that create, change and delete identity pools, if `aws.manage_pools` enables them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.errors import wrong_region
from tokend_server.aws_json.pool_shapes import (
    ARN,
    CREATE_MEMBERS,
    MAX_TAGS,
    PRINCIPAL_TAGS,
    PROVIDER_NAME,
    ROLE_MAPPINGS,
    ROLES,
    TAG_KEY,
    TAGS,
)
from tokend_server.aws_json.pools import described, principal_tags_of, requested_pool, require_pool_id
from tokend_server.aws_json.shaped import IDENTITY_ID, Output, PerformedOperation, ShapedOperation
from tokend_server.aws_json.shapes import Flag, TextList
from tokend_server.engine import PoolManagement
from tokend_server.errors import InvalidParameter
from tokend_server.model import CognitoOperation, IdentityPool
from tokend_server.rpc.call import current_call

_REQUIRED = frozenset({"IdentityPoolName", "AllowUnauthenticatedIdentities"})
_POOL = frozenset({"IdentityPoolId"})

_CREATE = ShapedOperation(CognitoOperation.CREATE_IDENTITY_POOL, CREATE_MEMBERS, _REQUIRED)
_UPDATE = ShapedOperation(
    CognitoOperation.UPDATE_IDENTITY_POOL, {"IdentityPoolId": IDENTITY_ID, **CREATE_MEMBERS}, _POOL | _REQUIRED
)
_DELETE = ShapedOperation(CognitoOperation.DELETE_IDENTITY_POOL, {"IdentityPoolId": IDENTITY_ID}, _POOL)
_SET_ROLES = ShapedOperation(
    CognitoOperation.SET_IDENTITY_POOL_ROLES,
    {"IdentityPoolId": IDENTITY_ID, "Roles": ROLES, "RoleMappings": ROLE_MAPPINGS},
    _POOL | {"Roles"},
)
_TAG = ShapedOperation(
    CognitoOperation.TAG_RESOURCE, {"ResourceArn": ARN, "Tags": TAGS}, frozenset({"ResourceArn", "Tags"})
)
_UNTAG = ShapedOperation(
    CognitoOperation.UNTAG_RESOURCE,
    {"ResourceArn": ARN, "TagKeys": TextList(TAG_KEY)},
    frozenset({"ResourceArn", "TagKeys"}),
)
_SET_PRINCIPAL_TAGS = ShapedOperation(
    CognitoOperation.SET_PRINCIPAL_TAG_ATTRIBUTE_MAP,
    {
        "IdentityPoolId": IDENTITY_ID,
        "IdentityProviderName": PROVIDER_NAME,
        "UseDefaults": Flag(),
        "PrincipalTags": PRINCIPAL_TAGS,
    },
    _POOL | {"IdentityProviderName"},
)

#: A GUID in the form of the ids of pools and identities.
_ANY_GUID = str(UUID(int=0))

_TAGS_MEMBER, _DEVELOPER = "IdentityPoolTags", "DeveloperProviderName"


class ManagementOperations:
    """Performs the operations for the current call.

    Args:
        pools: The pools.
        admission: Checks policy and limits.
        on_change: Called with a pool that was changed or deleted.
    """

    def __init__(self, pools: PoolManagement, admission: Admission, on_change: Callable[[str], object]) -> None:
        self._pools = pools
        self._admission = admission
        self._on_change = on_change
        self.operations: Sequence[PerformedOperation] = (
            (_CREATE, self._create),
            (_UPDATE, self._update),
            (_DELETE, self._delete),
            (_SET_ROLES, self._set_roles),
            (_TAG, self._tag),
            (_UNTAG, self._untag),
            (_SET_PRINCIPAL_TAGS, self._set_principal_tags),
        )

    def _create(self, given: Mapping[str, Any]) -> Output:
        deadline = self._admission.admit(_CREATE, given, AuditedRequest())
        settings, tags = _settings(given), given.get(_TAGS_MEMBER, {})
        _check_tags(tags)
        call = current_call()
        if any(IDENTITY_ID.violations(f"{call.region}:{_ANY_GUID}")):  # the signer chooses the Region's name
            raise wrong_region(call.region)
        pool = self._pools.create(call.region, settings, tags, deadline)
        call.audited = AuditedRequest(region=call.region), AuditedResult(identity_pool_id=pool.identity_pool_id)
        return described(pool)

    def _update(self, given: Mapping[str, Any]) -> Output:
        return described(self._change_pool(_UPDATE, given, partial(_updated, given)))

    def _delete(self, given: Mapping[str, Any]) -> Output:
        pool_id = given.get("IdentityPoolId", "")
        deadline = self._admission.admit(_DELETE, given, AuditedRequest(pool_id))
        try:
            self._pools.delete(pool_id, deadline)
        finally:  # what failed may have been done all the same
            self._on_change(pool_id)
        return None

    def _set_roles(self, given: Mapping[str, Any]) -> Output:
        # Omitted members are removed, as at AWS.
        roles = {name: given[name] for name in ("Roles", "RoleMappings") if given.get(name)}

        def changed(pool: IdentityPool) -> IdentityPool:
            _check_role_mappings(roles.get("RoleMappings", {}))
            return pool._replace(roles=roles)

        self._change_pool(_SET_ROLES, given, changed)
        return None

    def _tag(self, given: Mapping[str, Any]) -> Output:
        self._change_pool(_TAG, given, partial(_tagged, given))
        return {}

    def _untag(self, given: Mapping[str, Any]) -> Output:
        def untagged(pool: IdentityPool) -> IdentityPool:
            return pool._replace(tags={key: tag for key, tag in pool.tags.items() if key not in given["TagKeys"]})

        self._change_pool(_UNTAG, given, untagged)
        return {}

    def _set_principal_tags(self, given: Mapping[str, Any]) -> Output:
        def mapped(pool: IdentityPool) -> IdentityPool:
            own = {name: given[name] for name in ("UseDefaults", "PrincipalTags") if name in given}
            return pool._replace(principal_tags={**pool.principal_tags, given["IdentityProviderName"]: own})

        pool = self._change_pool(_SET_PRINCIPAL_TAGS, given, mapped)
        return principal_tags_of(pool, given["IdentityProviderName"])

    def _change_pool(
        self, operation: ShapedOperation, given: Mapping[str, Any], decide: Callable[[IdentityPool], IdentityPool]
    ) -> IdentityPool:
        pool_id = requested_pool(given)
        deadline = self._admission.admit(operation, given, AuditedRequest(pool_id))
        try:
            return self._pools.change(require_pool_id(pool_id), decide, deadline)
        finally:  # what failed may have been done all the same
            self._on_change(pool_id)


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the given settings of a pool; an empty member counts as omitted."""
    return {
        name: given[name] for name in CREATE_MEMBERS if given.get(name) not in (None, {}, []) and name != _TAGS_MEMBER
    }


def _updated(given: Mapping[str, Any], pool: IdentityPool) -> IdentityPool:
    """Returns the pool with new settings; omitted ones get their defaults, except the developer provider and the tags.

    Raises:
        InvalidParameter: The developer provider would change.
    """
    settings, name = _settings(given), pool.settings.get(_DEVELOPER)
    if name is not None and settings.setdefault(_DEVELOPER, name) != name:
        raise InvalidParameter("The developer provider name of an identity pool cannot be changed once it is set.")
    tags = given.get(_TAGS_MEMBER, pool.tags)
    _check_tags(tags)
    return pool._replace(settings=settings, tags=tags)


def _tagged(given: Mapping[str, Any], pool: IdentityPool) -> IdentityPool:
    tags = {**pool.tags, **given["Tags"]}
    _check_tags(tags)
    return pool._replace(tags=tags)


def _check_role_mappings(mappings: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks a `RoleMapping` for the requirements in Cognito's API Reference that are not in its model."""
    required = {"Token": ("AmbiguousRoleResolution",), "Rules": ("AmbiguousRoleResolution", "RulesConfiguration")}
    missing = (
        f"{name} is required in the role mapping of {provider}, of type {mapping['Type']}."
        for provider, mapping in mappings.items()
        for name in required[mapping["Type"]]
        if name not in mapping
    )
    if text := " ".join(missing):
        raise InvalidParameter(text)


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise InvalidParameter(f"An identity pool may have at most {MAX_TAGS} tags.")
    if any(key.lower().startswith("aws:") for key in tags):
        raise InvalidParameter("Keys of tags must not begin with aws:.")

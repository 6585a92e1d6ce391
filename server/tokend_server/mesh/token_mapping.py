"""From what Envoy says of a request to the token that it is to have."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tokend_server.config import Config, ExtAuthzMapping, VerifiedValue
from tokend_server.mesh.envoy_values import ReadValue, from_header, from_metadata
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.model import Secret


class NoUser(Exception):
    """Raised when a request has no user that the mesh has verified."""


class NoTag(Exception):
    """Raised when a request lacks the value of a principal tag."""


@dataclass(frozen=True, slots=True)
class TokenMapping:
    """What becomes of the requests of a route.

    Attributes:
        name: What the configuration calls it.
        identity_pool_id: The pool.
        developer_provider_name: The pool's.
        token_duration: How long tokens are to be valid, if it is said.
        user: Reads the user.
        principal_tags: Read the values of principal tags, by their keys.
        optional_tags: The keys of those that may be missing.
        header: The header that the token goes into.
        scheme: What stands before the token; empty for nothing.
        is_open: Requests go on without the header while tokend fails.
    """

    name: str
    identity_pool_id: str
    developer_provider_name: str
    token_duration: timedelta | None
    user: ReadValue
    principal_tags: Mapping[str, ReadValue]
    optional_tags: frozenset[str]
    header: str
    scheme: str
    is_open: bool

    def wanted(self, attributes: Any) -> WantedToken:  # noqa: ANN401 - envoy.service.auth.v3.AttributeContext
        """The token for a request.

        Raises:
            NoUser: It has no user.
            NoTag: It lacks the value of a tag.
        """
        user = self.user(attributes)
        if user is None:
            raise NoUser
        read = {key: value(attributes) for key, value in self.principal_tags.items()}
        tags = {key: value for key, value in read.items() if value is not None}
        if read.keys() - tags.keys() - self.optional_tags:
            raise NoTag
        return WantedToken(self.identity_pool_id, self.developer_provider_name, Secret(user), tags, self.token_duration)

    def header_value(self, token: Secret) -> str:
        """What the header has with a token."""
        return f"{self.scheme} {token.reveal()}" if self.scheme else token.reveal()


def token_mapping(config: Config, name: str, settings: ExtAuthzMapping) -> TokenMapping:
    """The mapping of these settings."""
    seconds = settings.token_duration_seconds
    namespace = config.ext_authz.metadata_namespace
    return TokenMapping(
        name,
        settings.identity_pool_id,
        config.pools[settings.identity_pool_id].developer_provider_name,
        None if seconds is None else timedelta(seconds=seconds),
        _read(settings.user, namespace),
        {key: _read(tag, namespace) for key, tag in settings.principal_tags.items()},
        frozenset(key for key, tag in settings.principal_tags.items() if tag.optional),
        settings.header,
        settings.scheme,
        settings.failure_mode == "open",
    )


def _read(value: VerifiedValue, namespace: str) -> ReadValue:
    return from_metadata(namespace, value.metadata) if value.metadata else from_header(value.header or "")

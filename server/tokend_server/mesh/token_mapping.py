"""Maps Envoy's description of a request to the token for it."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from tokend_server.config import Config, ExtAuthzMapping, VerifiedValue
from tokend_server.mesh.envoy_values import ReadValue, header_reader, metadata_reader
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.model import Secret


class NoUser(Exception):
    """Raised when a request has no verified user."""


class NoTag(Exception):
    """Raised when a request lacks the value of a principal tag."""


class MappedTag(NamedTuple):
    """A principal tag of a mapping.

    Attributes:
        key: Its key.
        value: Reads its value.
        optional: Whether a request may lack it.
    """

    key: str
    value: ReadValue
    optional: bool


class MappedValues(NamedTuple):
    """The values in a request on which its token depends.

    Attributes:
        user: The user.
        tags: The values of the mapping's principal tags, in their order; None for one that is missing.
    """

    user: str
    tags: tuple[str | None, ...]

    def __repr__(self) -> str:
        """Returns a text without the values, because the user is a login."""
        return f"{type(self).__name__}(***)"


@dataclass(frozen=True, slots=True)
class TokenMapping:
    """The token for requests of a route.

    Attributes:
        name: Its name in the configuration.
        identity_pool_id: The pool.
        developer_provider_name: The developer provider of the pool.
        token_duration_seconds: The duration of tokens, if it is configured.
        user: Reads the user.
        principal_tags: The principal tags.
        header: The header for the token.
        scheme: The prefix of the token; may be empty.
        is_open: Whether requests are forwarded without the header while tokend fails.
    """

    name: str
    identity_pool_id: str
    developer_provider_name: str
    token_duration_seconds: int | None
    user: ReadValue
    principal_tags: tuple[MappedTag, ...]
    header: str
    scheme: str
    is_open: bool

    def values(self, attributes: Any) -> MappedValues:  # noqa: ANN401 - envoy.service.auth.v3.AttributeContext
        """Reads the values from a request.

        Raises:
            NoUser: It has no user.
            NoTag: It lacks the value of a tag.
        """
        user = self.user(attributes)
        if user is None:
            raise NoUser
        tags = []
        for _, read, optional in self.principal_tags:
            value = read(attributes)
            if value is None and not optional:
                raise NoTag
            tags.append(value)
        return MappedValues(user, tuple(tags))

    def wanted(self, values: MappedValues) -> WantedToken:
        """Returns the token for a request with these values."""
        read = zip((tag.key for tag in self.principal_tags), values.tags, strict=True)
        tags = {key: value for key, value in read if value is not None}
        return WantedToken(
            self.identity_pool_id, self.developer_provider_name, Secret(values.user), tags, self.token_duration_seconds
        )

    def header_value(self, token: Secret) -> str:
        """Returns the header's value for a token."""
        return f"{self.scheme} {token.reveal()}" if self.scheme else token.reveal()


def token_mapping(config: Config, name: str, settings: ExtAuthzMapping) -> TokenMapping:
    """Returns the mapping for its settings."""
    namespace = config.ext_authz.metadata_namespace
    return TokenMapping(
        name,
        settings.identity_pool_id,
        config.pools[settings.identity_pool_id].developer_provider_name,
        settings.token_duration_seconds,
        _read(settings.user, namespace),
        tuple(MappedTag(key, _read(tag, namespace), tag.optional) for key, tag in settings.principal_tags.items()),
        settings.header,
        settings.scheme,
        settings.failure_mode == "open",
    )


def _read(value: VerifiedValue, namespace: str) -> ReadValue:
    return metadata_reader(namespace, value.metadata) if value.metadata else header_reader(value.header or "")

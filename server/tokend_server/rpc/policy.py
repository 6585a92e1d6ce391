"""Which methods there are, and what a caller needs for each."""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType

from tokend_server.config import Grpc
from tokend_server.model import Operation


class Rule(Enum):
    """What a caller needs for a method."""

    GRANT = auto()
    """A row of the policy."""

    IDENTITY = auto()
    """To be identified, where callers are."""

    NOTHING = auto()


_SERVICE = "/tokend.v1.DeveloperIdentityService/"
_HEALTH = "/grpc.health.v1.Health/"

_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **{_SERVICE + operation: Rule.GRANT for operation in Operation},
        _HEALTH + "Check": Rule.NOTHING,
        _HEALTH + "List": Rule.NOTHING,
        _HEALTH + "Watch": Rule.NOTHING,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Rule.IDENTITY,
    }
)


def rules(config: Grpc) -> Mapping[str, Rule]:
    """The rule of every method, by its path. A method that is not here is denied to all."""
    if config.health == "anyone":
        return _RULES
    return {path: Rule.IDENTITY if path.startswith(_HEALTH) else rule for path, rule in _RULES.items()}

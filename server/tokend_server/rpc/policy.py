"""The methods, and what a caller needs to call each of them."""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType

from tokend_server.config import Grpc
from tokend_server.model import Operation


class Rule(Enum):
    """What a caller needs to call a method."""

    GRANT = auto()
    """A row of the policy."""

    IDENTITY = auto()
    """The caller must be identified, if the listener identifies callers."""

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
    """Returns the rule of every method, by path. Calls of all other methods are refused."""
    if config.health == "anyone":
        return _RULES
    return {path: Rule.IDENTITY if path.startswith(_HEALTH) else rule for path, rule in _RULES.items()}

"""The state of an xDS stream, and its next response: both variants of the protocol, without I/O.

The protocol: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol. A version is a digest of a resource's
contents, so that servers agree on it. A client of the delta variant that reconnects with versions does not get the
resources that it has. A client of the state-of-the-world variant gets all, because it may have dropped resources of its
version.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from tokend_server.errors import FieldViolation, ValidationFailed

#: The maximum number of names in a stream's subscription, far more than an Envoy requests.
MAX_NAMES = 1000

#: A subscription to all resources.
WILDCARD = "*"

_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Resource:
    """The current state of a resource.

    Attributes:
        name: Its name.
        version: Its version, which differs for different contents.
        contents: Its serialized message.
    """

    name: str
    version: str
    contents: bytes = field(repr=False)

    @classmethod
    def of(cls, name: str, contents: bytes) -> "Resource":
        """Returns a resource whose version is a digest of its contents."""
        return cls(name, hashlib.sha256(contents).hexdigest()[:_DIGITS], contents)


class Missing(Enum):
    """The reason for which there is no resource with a name."""

    ABSENT = auto()
    """It does not exist for the client."""

    PENDING = auto()
    """It is not known yet, and is not reported."""


#: Returns the resource with a name.
GetResource: TypeAlias = Callable[[str], Resource | Missing]


class Receipt(StrEnum):
    """A request's receipt of the previous response."""

    NOTHING = "nothing"
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    STALE = "stale"
    """The request was sent before the client received the last response."""


class SotwRequest(NamedTuple):
    """The relevant members of a DiscoveryRequest; `rejects` if it has an `error_detail`."""

    resource_names: tuple[str, ...] = ()
    response_nonce: str = ""
    rejects: bool = False


class SotwResponse(NamedTuple):
    """A DiscoveryResponse."""

    resources: tuple[Resource, ...]
    version_info: str
    nonce: str


class StateOfTheWorld:
    """A stream whose responses contain all subscribed resources.

    Args:
        all_names: The names that a wildcard means.
    """

    def __init__(self, all_names: AbstractSet[str]) -> None:
        self._all_names = all_names
        self._asked_for: frozenset[str] | None = None
        self._has_named = False
        self._sent: dict[str, str] = {}
        self._responses = 0
        self._awaits_receipt = False

    @property
    def names(self) -> frozenset[str]:
        """The names to which the stream subscribes."""
        asked_for = self._asked_for or frozenset()
        return asked_for - {WILDCARD} | self._all_names if WILDCARD in asked_for else asked_for

    def receive(self, request: SotwRequest) -> Receipt:
        """Applies a request; a stale one is ignored, because another one follows.

        A request that only changes the subscription has the nonce of the response that the client has acknowledged.
        """
        if self._responses and request.response_nonce != str(self._responses):
            return Receipt.STALE
        self._subscribe(request.resource_names)
        is_first, self._awaits_receipt = self._awaits_receipt, False
        if not is_first:
            return Receipt.NOTHING
        return Receipt.REJECTED if request.rejects else Receipt.ACKNOWLEDGED

    def respond(self, get: GetResource) -> SotwResponse | None:
        """Returns the next response; None if nothing has changed. Its contents count as sent, even if rejected."""
        found = _found(self.names, get)
        versions = {resource.name: resource.version for resource in found}
        if all(self._sent.get(name) == version for name, version in versions.items()):
            return None
        self._sent = versions
        self._responses += 1
        self._awaits_receipt = True
        return SotwResponse(found, _version_of(found), str(self._responses))

    def _subscribe(self, names: tuple[str, ...]) -> None:
        # A stream that has never named resources subscribes to all; one that now names none subscribes to none.
        self._has_named |= bool(names)
        self._asked_for = frozenset(names if self._has_named else {WILDCARD})
        self._sent = {name: version for name, version in self._sent.items() if name in self.names}


class DeltaRequest(NamedTuple):
    """The relevant members of a DeltaDiscoveryRequest; `rejects` if it has an `error_detail`."""

    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_resource_versions: Mapping[str, str] = MappingProxyType({})
    response_nonce: str = ""
    rejects: bool = False


class DeltaResponse(NamedTuple):
    """A DeltaDiscoveryResponse."""

    resources: tuple[Resource, ...]
    removed_resources: tuple[str, ...]
    nonce: str


class Delta:
    """A stream whose responses contain only changes.

    Args:
        all_names: The names that a wildcard means.
    """

    def __init__(self, all_names: AbstractSet[str]) -> None:
        self._all_names = all_names
        self._names: set[str] = set()
        self._is_wildcard: bool | None = None
        # The client's version of each resource; None if it knows that there is none.
        self._has: dict[str, str | None] = {}
        self._responses = 0
        self._awaits_receipt = False

    @property
    def names(self) -> frozenset[str]:
        """The names to which the stream subscribes."""
        return frozenset(self._names | self._all_names if self._is_wildcard else self._names)

    def receive(self, request: DeltaRequest) -> Receipt:
        """Applies a request; its subscriptions apply whichever response it acknowledges.

        Raises:
            ValidationFailed: The stream would subscribe to too many resources.
        """
        if self._is_wildcard is None:
            self._is_wildcard = not request.subscribe
            self._has = dict(request.initial_resource_versions)
        else:  # a repeated subscription is answered again
            self._forget(request.subscribe)
        self._unsubscribe(request.unsubscribe)
        self._is_wildcard |= WILDCARD in request.subscribe
        self._names |= set(request.subscribe) - {WILDCARD}
        if len(self._names) > MAX_NAMES:
            text = f"A stream must subscribe to at most {MAX_NAMES} resources"
            raise ValidationFailed([FieldViolation("resource_names_subscribe", text)])
        self._has = {name: version for name, version in self._has.items() if self._is_wildcard or name in self._names}
        return self._receipt(request)

    def respond(self, get: GetResource) -> DeltaResponse | None:
        """Returns the next response; None if nothing has changed. Its contents count as sent, even if rejected."""
        found = tuple(each for each in _found(self.names, get) if self._has.get(each.name) != each.version)
        removed = tuple(name for name in sorted({*self.names, *self._has}) if self._is_removed(name, get))
        if not found and not removed:
            return None
        self._has |= {each.name: each.version for each in found} | dict.fromkeys(removed)
        self._responses += 1
        self._awaits_receipt = True
        return DeltaResponse(found, removed, str(self._responses))

    def _is_removed(self, name: str, get: GetResource) -> bool:
        if get(name) is not Missing.ABSENT:
            return False
        return self._has[name] is not None if name in self._has else name in self._names

    def _unsubscribe(self, names: tuple[str, ...]) -> None:
        if WILDCARD in names:
            self._is_wildcard = False
        self._names -= set(names)
        self._forget(names)  # resources of a wildcard are sent again, so that the client knows of them

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._has.pop(name, None)

    def _receipt(self, request: DeltaRequest) -> Receipt:
        if not self._responses or not request.response_nonce:
            return Receipt.NOTHING
        if request.response_nonce != str(self._responses):
            return Receipt.STALE
        is_first, self._awaits_receipt = self._awaits_receipt, False
        if not is_first:
            return Receipt.NOTHING
        return Receipt.REJECTED if request.rejects else Receipt.ACKNOWLEDGED


def _found(names: Iterable[str], get: GetResource) -> tuple[Resource, ...]:
    return tuple(found for name in sorted(names) if isinstance(found := get(name), Resource))


def _version_of(resources: Iterable[Resource]) -> str:
    text = "\0".join(f"{resource.name}\0{resource.version}" for resource in resources)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

"""The secrets for streams: the tokens of each caller, and the key set, which is shared."""

from collections.abc import Callable, Iterable

from tokend_server.mesh.pushed_tokens import PushedTokens, Wake
from tokend_server.mesh.xds import Missing, Resource
from tokend_server.rpc.call import Call

#: Wakes a stream after a number of seconds.
CallLater = Callable[[float, Wake], object]

#: Seconds over which a new key set is sent to streams; it is published long before its new key signs.
_SPREAD_SECONDS = 5.0


class KeySetSecret:
    """The key set as a secret.

    Args:
        name: Its name.
        contents: Returns the serialized message with a JWK Set.
        call_later: Wakes a stream.
        random: Returns a number from 0 to 1.
    """

    def __init__(
        self, name: str, contents: Callable[[bytes], bytes], call_later: CallLater, random: Callable[[], float]
    ) -> None:
        self.name = name
        self.resource: Resource | Missing = Missing.PENDING
        self._contents = contents
        self._call_later = call_later
        self._random = random
        self._watchers: set[Wake] = set()

    def watch(self, wake: Wake) -> None:
        """Calls `wake` when the keys change, until `unwatch`."""
        self._watchers.add(wake)

    def unwatch(self, wake: Wake) -> None:
        """Ends a `watch`."""
        self._watchers.discard(wake)

    def update(self, jwks: bytes) -> None:
        """Sets the current keys."""
        self.resource = Resource.of(self.name, self._contents(jwks))
        for wake in self._watchers:
            self._call_later(self._random() * _SPREAD_SECONDS, wake)


class Secrets:
    """All secrets that streams read and watch.

    Args:
        tokens: The tokens.
        key_set: The key set, if it is served.
        jwks: Returns the current keys.
    """

    def __init__(self, tokens: PushedTokens, key_set: KeySetSecret | None, jwks: Callable[[], bytes]) -> None:
        self.tokens = tokens
        self._key_set = key_set
        self._jwks = jwks
        self._taken: bytes | None = None
        self.names = frozenset(tokens.secrets) | ({key_set.name} if key_set else frozenset())

    def get(self, caller: str, name: str) -> Resource | Missing:
        """Returns the current resource for a caller that watches a name."""
        if self._key_set and name == self._key_set.name:
            return self._key_set.resource
        return self.tokens.get(caller, name) if name in self.tokens.secrets else Missing.ABSENT

    def error(self, caller: str, name: str) -> Exception | None:
        """Returns the error for which a caller that watches a name has no resource."""
        return self.tokens.error(caller, name) if name in self.tokens.secrets else None

    def watch(self, call: Call, names: Iterable[str], wake: Wake) -> None:
        """Wakes a stream when its resources change, until `unwatch`."""
        for name in names:
            if self._key_set and name == self._key_set.name:
                self._key_set.watch(wake)
            elif name in self.tokens.secrets:
                self.tokens.watch(call, name, wake)

    def unwatch(self, caller: str, names: Iterable[str], wake: Wake) -> None:
        """Ends a `watch`."""
        for name in names:
            if self._key_set and name == self._key_set.name:
                self._key_set.unwatch(wake)
            elif name in self.tokens.secrets:
                self.tokens.unwatch(caller, name, wake)

    def tick(self) -> None:
        """Does the due work; to be called at intervals."""
        jwks = self._jwks()
        if jwks != self._taken:
            self._taken = jwks
            self.tokens.replace_unpublished()
            if self._key_set:
                self._key_set.update(jwks)
        self.tokens.tick()

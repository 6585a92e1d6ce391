"""The service's own published keys, for the verification of its own tokens."""

import json
from collections.abc import Callable

from tokend_server.clock import Deadline
from tokend_server.model import KeySet
from tokend_server.oidc.documents import VerificationKey, import_keys


class PublishedKeys:
    """The `VerificationKeys` of a key set, which is parsed again when it changes.

    Args:
        key_set: Returns the current published keys.
    """

    def __init__(self, key_set: Callable[[], KeySet]) -> None:
        self._key_set = key_set
        self._imported: tuple[bytes, tuple[VerificationKey, ...]] = (b"", ())

    def find(self, kid: str | None, _deadline: Deadline) -> tuple[VerificationKey, ...]:
        jwks = self._key_set().jwks
        imported = self._imported
        if imported[0] != jwks:
            self._imported = imported = jwks, import_keys(json.loads(jwks))
        return tuple(key for key in imported[1] if key.kid == kid)

    def refetch(self, _kid: str | None, _deadline: Deadline) -> tuple[VerificationKey, ...]:
        return ()

"""Identifies callers by bearer keys."""

import hmac
from collections.abc import Mapping, Sequence

from tokend_server.access.authentication.bearer import bearer_token
from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.callers.keys import check_digest, digest, is_key


class BearerKeyAuthenticator:
    """Identifies callers by the key in the call; callers are named `key:NAME`.

    Only keys in the format of `new_key` are accepted: a plain digest does not protect a secret that can be guessed.

    Args:
        digests: The digests of each caller's keys.

    Raises:
        ValueError: A digest is malformed, or is listed for two callers.
    """

    def __init__(self, digests: Mapping[str, Sequence[str]]) -> None:
        owners: dict[str, str] = {}
        for name, listed in digests.items():
            for position, text in enumerate(listed):
                held = _checked(text, f"digest {position} of {name}")
                if owners.setdefault(held, name) != name:
                    raise ValueError(f"digest {position} of {name} is also one of {owners[held]}")
        self._callers = tuple((held, f"key:{name}") for held, name in owners.items())

    def __call__(self, presented: PresentedCredentials) -> str | None:
        """Returns the name of the caller for whom the key was created.

        Raises:
            CallerUnauthenticated: The call has several authorizations.
        """
        token = bearer_token(presented)
        if token is None or not is_key(token):
            return None
        presented_digest, caller = digest(token), None
        for held, name in self._callers:  # always all of them, so that the time does not depend on the match
            if hmac.compare_digest(held, presented_digest):
                caller = name
        return caller


def _checked(text: str, where: str) -> str:
    try:
        return check_digest(text)
    except ValueError as error:
        raise ValueError(f"{where} {error}") from None

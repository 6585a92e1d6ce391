"""A public provider whose login tokens are plain text: `user <subject> <claim>=<value> …`."""

from tokend_server.clock import Deadline
from tokend_server.engines.local.providers import ProviderUser
from tokend_server.errors import LoginProviderUnavailable, NotAuthorized
from tokend_server.model import Secret


class FakeLoginProvider:
    """A `LoginProvider` without keys; `available` is whether it responds."""

    def __init__(self) -> None:
        self.available = True

    def verify(self, token: Secret, deadline: Deadline) -> ProviderUser:
        deadline.check()
        if not self.available:
            raise LoginProviderUnavailable("The login provider does not answer.")
        word, subject, *claims = [*token.reveal().split(" "), ""]
        if word != "user" or not subject:
            raise NotAuthorized("Invalid login token. Couldn't verify signed token.")
        return ProviderUser(Secret(subject), {"sub": subject, **dict(claim.split("=", 1) for claim in claims if claim)})

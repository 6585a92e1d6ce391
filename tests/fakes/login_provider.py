"""A public provider whose login tokens are the plain words `user <subject>`."""

from tokend_server.clock import Deadline
from tokend_server.errors import LoginProviderUnavailable, NotAuthorized
from tokend_server.model import Secret


class FakeLoginProvider:
    """A `LoginProvider` that needs no keys; `available` says whether it answers."""

    def __init__(self) -> None:
        self.available = True

    def verify(self, token: Secret, deadline: Deadline) -> str:
        deadline.check()
        if not self.available:
            raise LoginProviderUnavailable("The login provider does not answer.")
        word, _, subject = token.reveal().partition(" ")
        if word != "user" or not subject:
            raise NotAuthorized("Invalid login token. Couldn't verify signed token.")
        return subject

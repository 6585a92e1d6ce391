"""The credentials that a call presents, before they are verified."""

from collections.abc import Callable
from math import inf
from typing import NamedTuple, TypeAlias

from tokend_server.model import Secret


class PresentedCredentials(NamedTuple):
    """The credentials that a call presents.

    Attributes:
        uris: The URI SANs of the TLS client certificate, which the handshake has verified; empty without one.
        dns_names: The DNS SANs of the same certificate, in its order.
        unix_socket: Whether the call arrived on a unix socket.
        authorization: All values of the metadata key `authorization`.
        forwarded_client_certs: All values of the metadata key `x-forwarded-client-cert`.
        deadline_at: The caller's deadline as a monotonic time; infinite without a deadline.
    """

    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    unix_socket: bool = False
    authorization: tuple[Secret, ...] = ()
    forwarded_client_certs: tuple[str, ...] = ()
    deadline_at: float = inf


#: Returns the caller's name, or None if it does not identify the caller. Raises `CallerUnauthenticated` if the
#: credentials are ambiguous or malformed.
Authenticator: TypeAlias = Callable[[PresentedCredentials], str | None]

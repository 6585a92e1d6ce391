"""What a call shows of who makes it, before any of it is believed."""

from collections.abc import Callable
from math import inf
from typing import NamedTuple, TypeAlias

from tokend_server.model import Secret


class Presented(NamedTuple):
    """What a call shows of its caller.

    Attributes:
        uris: The URI SANs of the TLS client certificate, which the handshake has verified; empty without one.
        dns_names: The DNS SANs of the same certificate, in its order.
        unix_socket: Whether the call came by a unix socket.
        authorization: All values of the metadata key `authorization`.
        forwarded_client_certs: All values of the metadata key `x-forwarded-client-cert`.
        waits_until: Monotonic reading when the caller does not wait any more; infinite without a deadline.
    """

    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    unix_socket: bool = False
    authorization: tuple[Secret, ...] = ()
    forwarded_client_certs: tuple[str, ...] = ()
    waits_until: float = inf


#: Gives the caller's name, or None where it does not identify the call. It raises
#: `CallerUnauthenticated` where what is presented can be read in more than one way, or not at all.
Authenticator: TypeAlias = Callable[[Presented], str | None]

"""What the process says to the service manager that started it (sd_notify(3)), which need not be systemd."""

import logging
import os
import socket
from collections.abc import Mapping

_log = logging.getLogger(__name__)

#: Seconds that a manager has to take a message.
_PATIENCE = 1.0

#: The service is up, and what depends on it may start.
READY = "READY=1"

#: It ends in good order.
STOPPING = "STOPPING=1"


def tell_service_manager(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Says how the process is, if `NOTIFY_SOCKET` names who wants to know.

    A manager that cannot be reached is logged: what it makes of a service that says nothing is its own affair.

    Args:
        state: One of the assignments of sd_notify(3).
        environment: Where the address of the socket is: a path, or `@` and a name in the abstract namespace.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.settimeout(_PATIENCE)
            manager.connect("\0" + address[1:] if address.startswith("@") else address)
            manager.send(state.encode())
    except OSError as error:
        _log.warning(
            "the service manager cannot be reached", extra={"state": state, "problem": error.strerror or "timed out"}
        )

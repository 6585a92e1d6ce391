"""What the process says to the service manager that started it (sd_notify(3)), which need not be systemd."""

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence

from tokend_server.process.repeating import Repeating

_log = logging.getLogger(__name__)

#: Seconds that a manager has to take a message.
_PATIENCE = 1.0

#: The service is up, and what depends on it may start.
READY = "READY=1"

#: It ends in good order.
STOPPING = "STOPPING=1"

#: It does its work.
WATCHDOG = "WATCHDOG=1"


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
            "the service manager cannot be reached", extra={"state": state, "problem": error.strerror or str(error)}
        )


def watchdog_seconds(environment: Mapping[str, str] = os.environ, process_id: int | None = None) -> float | None:
    """Seconds within which the manager has to hear of this process again (sd_watchdog_enabled(3)); None: it need not.

    Args:
        environment: `WATCHDOG_USEC` has them in microseconds, and `WATCHDOG_PID` says of which process they are.
        process_id: That of this process.
    """
    of_process = environment.get("WATCHDOG_PID", "")
    microseconds = environment.get("WATCHDOG_USEC", "")
    if of_process not in {"", str(process_id or os.getpid())} or not (
        microseconds.isascii() and microseconds.isdigit()
    ):
        return None
    return int(microseconds) / 1e6 or None


def tell_alive(problems: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
    """Says that the process does its work; a manager that does not hear it ends the process, and begins another.

    Args:
        problems: Why it does not, which is logged instead; none: it does.
        environment: As `tell_service_manager` takes it.
    """
    if problems:
        _log.error("not alive: WATCHDOG=1 is not sent to the service manager", extra={"problems": list(problems)})
    else:
        tell_service_manager(WATCHDOG, environment)


def keep_watchdog(
    problems: Callable[[], Sequence[str]], environment: Mapping[str, str] = os.environ
) -> Repeating | None:
    """Tells the manager again and again, if it waits for that.

    Args:
        problems: Finds out what `tell_alive` has to know.
        environment: As `watchdog_seconds` and `tell_service_manager` take it.

    Returns:
        What tells it, in a thread that has begun; None where the manager does not wait.
    """
    seconds = watchdog_seconds(environment)
    if seconds is None:
        return None
    telling = Repeating(lambda: tell_alive(problems(), environment), seconds / 2, "watchdog")
    telling.start()
    return telling

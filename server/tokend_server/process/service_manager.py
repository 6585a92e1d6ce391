"""Notifies the service manager that has started the process (sd_notify(3)), which need not be systemd."""

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence

from tokend_server.process.repeating import Repeating

_log = logging.getLogger(__name__)

#: The timeout of a message to the manager in seconds.
_TIMEOUT = 1.0

#: The service is ready, and units that depend on it may start.
READY = "READY=1"

#: The service is stopping.
STOPPING = "STOPPING=1"

#: The service makes progress.
WATCHDOG = "WATCHDOG=1"


def notify_service_manager(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Sends the state of the process to `NOTIFY_SOCKET`, if it is set.

    If the manager cannot be reached, this is only logged.

    Args:
        state: One of the assignments of sd_notify(3).
        environment: Contains the address of the socket: a path, or `@` and a name in the abstract namespace.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.settimeout(_TIMEOUT)
            manager.connect("\0" + address[1:] if address.startswith("@") else address)
            manager.send(state.encode())
    except OSError as error:
        _log.warning(
            "the service manager cannot be reached", extra={"state": state, "problem": error.strerror or str(error)}
        )


def watchdog_seconds(environment: Mapping[str, str] = os.environ, process_id: int | None = None) -> float | None:
    """Returns the watchdog timeout of this process in seconds (sd_watchdog_enabled(3)); None if there is none.

    Args:
        environment: Contains `WATCHDOG_USEC`, the timeout in microseconds, and `WATCHDOG_PID`, the process id.
        process_id: The id of this process.
    """
    of_process = environment.get("WATCHDOG_PID", "")
    microseconds = environment.get("WATCHDOG_USEC", "")
    if of_process not in {"", str(process_id or os.getpid())} or not (
        microseconds.isascii() and microseconds.isdigit()
    ):
        return None
    return int(microseconds) / 1e6 or None


def notify_watchdog(problems: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
    """Sends the watchdog's keep-alive; without it, the manager restarts the process.

    Args:
        problems: The problems for which the process makes no progress, which are logged instead; empty if it does.
        environment: As for `notify_service_manager`.
    """
    if problems:
        _log.error("not alive: WATCHDOG=1 is not sent to the service manager", extra={"problems": list(problems)})
    else:
        notify_service_manager(WATCHDOG, environment)


def start_watchdog(
    problems: Callable[[], Sequence[str]], environment: Mapping[str, str] = os.environ
) -> Repeating | None:
    """Sends keep-alives at intervals, if the watchdog is enabled.

    Args:
        problems: Returns the problems for `notify_watchdog`.
        environment: As for `watchdog_seconds` and `notify_service_manager`.

    Returns:
        The started thread; None if the watchdog is not enabled.
    """
    seconds = watchdog_seconds(environment)
    if seconds is None:
        return None
    keep_alives = Repeating(lambda: notify_watchdog(problems(), environment), seconds / 2, "watchdog")
    keep_alives.start()
    return keep_alives

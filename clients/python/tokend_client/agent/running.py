"""From a configuration to a running agent, and to its end."""

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from tokend_client.agent.agent import Agent
from tokend_client.agent.configuration import AgentSettings
from tokend_client.agent.keeper import Status
from tokend_client.agent.notify import notify
from tokend_client.telemetry import client_version

_LOG = logging.getLogger("tokend_client.agent")


def keep(settings: AgentSettings) -> Sequence[str]:
    """Keeps the files fresh until the process is asked to end.

    Raises:
        ConnectionProblem: There can be no connection to tokend.
        OSError: The address of health cannot be had.
    """
    with Agent(settings) as agent:
        on_signals(agent.stop)
        where = f"; health at {agent.health_address}" if agent.health_address else ""
        names = ", ".join(token.name for token in settings.tokens)
        _LOG.info("tokend-agent/%s keeps the tokens: %s%s", client_version(), names, where)
        agent.wait_for(lambda statuses: all(status.is_valid for status in statuses))
        if not agent.is_stopping:
            _LOG.info("ready: each file holds a valid token")
            notify(READY="1", STATUS="Each file holds a valid token")
        agent.wait_for(lambda _statuses: False)
        notify(STOPPING="1")
    _LOG.info("ended; the files stay")
    return ()


def keep_once(settings: AgentSettings, timeout: float) -> Sequence[str]:
    """Writes each file once.

    Returns:
        What is wrong with each token that did not come in time.

    Raises:
        ConnectionProblem: There can be no connection to tokend.
    """
    with Agent(settings, serves_health=False) as agent:
        on_signals(agent.stop)
        agent.wait_for(lambda statuses: all(map(_is_done, statuses)), timeout)
        return [_told(status) for status in agent.statuses() if not _is_done(status)]


def on_signals(stop: Callable[[], None]) -> None:
    """Has SIGTERM and SIGINT call a function, in a thread of its own.

    A signal handler interrupts the main thread between any two steps. If that thread holds a lock, a handler that takes
    the lock never returns. If it has just seen that it has to wait, a handler that wakes it comes too early.
    """
    numbers: SimpleQueue[int] = SimpleQueue()

    def wait() -> None:
        numbers.get()
        stop()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: numbers.put(number))


def _is_done(status: Status) -> bool:
    return status.is_valid and status.is_from_here


def _told(status: Status) -> str:
    return f"{status.name}: {status.problem or status.state}"

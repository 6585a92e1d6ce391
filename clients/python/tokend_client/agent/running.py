"""From a configuration to a running agent, and to its end."""

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias

from tokend_client.agent.agent import Agent
from tokend_client.agent.configuration import AgentSettings
from tokend_client.agent.connection import ConnectionProblem
from tokend_client.agent.keeper import Status
from tokend_client.agent.loading import ConfigurationError
from tokend_client.agent.logs import write_as
from tokend_client.agent.notify import notify
from tokend_client.telemetry import client_version

_LOG = logging.getLogger("tokend_client.agent")


#: Reads the configuration again.
Read: TypeAlias = Callable[[], AgentSettings]

#: The numbers of signals that have come.
Signals: TypeAlias = "SimpleQueue[int]"


def keep(settings: AgentSettings, read: Read) -> Sequence[str]:
    """Keeps the files fresh until the process is asked to end, by a configuration that it reads again at SIGHUP.

    Raises:
        ConnectionProblem: There can be no connection to tokend.
        OSError: The address of health cannot be had.
    """
    signals = kept_signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with Agent(settings) as agent:
        on_signals(signals, agent.stop, partial(reload, agent, read))
        names = ", ".join(token.name for token in settings.tokens)
        _LOG.info("tokend-agent/%s keeps the tokens: %s%s", client_version(), names, _where(agent))
        agent.wait_for(lambda statuses: all(status.is_valid for status in statuses))
        if not agent.is_stopping:
            _LOG.info("ready: each file holds a valid token")
            notify(READY="1", STATUS="Each file holds a valid token")
        agent.wait_for(lambda _statuses: False)
        notify(STOPPING="1")
    _LOG.info("ended; the files stay")
    return ()


def reload(agent: Agent, read: Read) -> None:
    """Has the agent go on by what is configured now; if that cannot be used, it goes on by what was before."""
    try:
        settings = read()
        change = agent.go_on_by(settings)
    except (ConfigurationError, ConnectionProblem) as refused:
        problems: Sequence[str] = refused.problems
    except OSError as error:
        problems = [f"health.listen: {error.strerror or error}"]
    except Exception as error:  # noqa: BLE001 - a defect here must not keep SIGTERM from being heard
        problems = [f"a defect of tokend-agent: {type(error).__name__}"]
    else:
        write_as(settings.log.format)
        told = [f"; {what}: {', '.join(names)}" for what, names in vars(change).items() if names]
        _LOG.info("going on by the configuration of now%s%s", "".join(told) or "; the same tokens", _where(agent))
        return
    text = "the configuration cannot be used, and that of before is in use:"
    _LOG.error("\n  ".join([text, *problems]))


def _where(agent: Agent) -> str:
    return f"; health at {agent.health_address}" if agent.health_address else ""


def keep_once(settings: AgentSettings, timeout: float) -> Sequence[str]:
    """Writes each file once.

    Returns:
        What is wrong with each token that did not come in time.

    Raises:
        ConnectionProblem: There can be no connection to tokend.
    """
    signals = kept_signals(signal.SIGTERM, signal.SIGINT)
    with Agent(settings, serves_health=False) as agent:
        on_signals(signals, agent.stop)
        agent.wait_for(lambda statuses: all(map(_is_done, statuses)), timeout)
        return [_told(status) for status in agent.statuses() if not _is_done(status)]


def kept_signals(*numbers: signal.Signals) -> Signals:
    """Keeps signals for `on_signals` from now on: what comes before an agent is entered does not end the process."""
    signals: Signals = SimpleQueue()
    for number in numbers:
        signal.signal(number, lambda number, _frame: signals.put(number))
    return signals


def on_signals(signals: Signals, stop: Callable[[], None], reload: Callable[[], None] | None = None) -> None:
    """Has SIGHUP call a function if there is one, and any other signal another, in a thread of their own.

    A signal handler interrupts the main thread between any two steps. If that thread holds a lock, a handler that takes
    the lock never returns. If it has just seen that it has to wait, a handler that wakes it comes too early.
    """

    def wait() -> None:
        while signals.get() == signal.SIGHUP and reload is not None:
            reload()
        stop()

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _is_done(status: Status) -> bool:
    return status.is_valid and status.is_from_here


def _told(status: Status) -> str:
    return f"{status.name}: {status.problem or status.state}"

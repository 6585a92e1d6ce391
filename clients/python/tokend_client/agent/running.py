"""Runs an agent from its configuration to its end."""

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
from tokend_client.agent.logs import set_format
from tokend_client.agent.notify import notify
from tokend_client.telemetry import client_version

_LOG = logging.getLogger("tokend_client.agent")


#: Reads the configuration again.
Read: TypeAlias = Callable[[], AgentSettings]

#: The numbers of received signals.
Signals: TypeAlias = "SimpleQueue[int]"


def run_until_stopped(settings: AgentSettings, read: Read) -> Sequence[str]:
    """Keeps the files fresh until the process is asked to end. SIGHUP reloads the configuration.

    Raises:
        ConnectionProblem: The settings of the connection to tokend are invalid.
        OSError: The health address cannot be used.
    """
    signals = queue_signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with Agent(settings) as agent:
        on_signals(signals, agent.stop, partial(reload, agent, read))
        names = ", ".join(token.name for token in settings.tokens)
        _LOG.info("tokend-agent/%s keeps the tokens: %s%s", client_version(), names, _health_note(agent))
        agent.wait_for(lambda statuses: all(status.is_valid for status in statuses))
        if not agent.is_stopping:
            _LOG.info("ready: each file holds a valid token")
            notify(READY="1", STATUS="Each file holds a valid token")
        agent.wait_for(lambda _statuses: False)
        notify(STOPPING="1")
    _LOG.info("ended; the files stay")
    return ()


def reload(agent: Agent, read: Read) -> None:
    """Reloads the configuration. If the new one is invalid, the agent keeps the previous one."""
    try:
        settings = read()
        change = agent.reconfigure(settings)
    except (ConfigurationError, ConnectionProblem) as refused:
        problems: Sequence[str] = refused.problems
    except OSError as error:
        problems = [f"health.listen: {error.strerror or error}"]
    except Exception as error:  # noqa: BLE001 - a defect here must not keep SIGTERM from being heard
        problems = [f"a defect of tokend-agent: {type(error).__name__}"]
    else:
        set_format(settings.log.format)
        changes = [f"; {what}: {', '.join(names)}" for what, names in vars(change).items() if names]
        _LOG.info("configuration reloaded%s%s", "".join(changes) or "; the same tokens", _health_note(agent))
        return
    text = "the configuration cannot be used; keeping the previous one:"
    _LOG.error("\n  ".join([text, *problems]))


def _health_note(agent: Agent) -> str:
    return f"; health at {agent.health_address}" if agent.health_address else ""


def run_once(settings: AgentSettings, timeout: float) -> Sequence[str]:
    """Writes each file once.

    Returns:
        The problem of each token that did not arrive in time.

    Raises:
        ConnectionProblem: The settings of the connection to tokend are invalid.
    """
    signals = queue_signals(signal.SIGTERM, signal.SIGINT)
    with Agent(settings, serves_health=False) as agent:
        on_signals(signals, agent.stop)
        agent.wait_for(lambda statuses: all(map(_is_done, statuses)), timeout)
        return [_describe(status) for status in agent.statuses() if not _is_done(status)]


def queue_signals(*numbers: signal.Signals) -> Signals:
    """Stores signals for `on_signals`, so that a signal during startup does not kill the process."""
    signals: Signals = SimpleQueue()
    for number in numbers:
        signal.signal(number, lambda number, _frame: signals.put(number))
    return signals


def on_signals(signals: Signals, stop: Callable[[], None], reload: Callable[[], None] | None = None) -> None:
    """Calls one function for SIGHUP, if there is one, and another for all other signals, in a separate thread.

    A signal handler interrupts the main thread at any point. If the main thread holds a lock, a handler that takes the
    lock never returns. If it is just about to wait, a handler wakes it too early.
    """

    def wait() -> None:
        while signals.get() == signal.SIGHUP and reload is not None:
            reload()
        stop()

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _is_done(status: Status) -> bool:
    return status.is_valid and status.is_from_here


def _describe(status: Status) -> str:
    return f"{status.name}: {status.problem or status.state}"

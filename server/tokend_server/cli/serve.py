import logging
import os
import signal
from pathlib import Path

import click

from tokend_server import app, logs
from tokend_server.cli.options import config_option
from tokend_server.cli.stopping import ExitGuard, StopSignal, exit_immediately
from tokend_server.config import load_config
from tokend_server.config.warnings import config_warnings
from tokend_server.failures import log_uncaught_exceptions
from tokend_server.process import descriptors, standard_streams
from tokend_server.process.log_writer import LogWriter
from tokend_server.process.service_manager import READY, STOPPING, notify_service_manager, start_watchdog

_log = logging.getLogger(__name__)

#: Seconds for closing connections, databases and traces, in addition to the delay and the grace period of a stop.
_CLEANUP_SECONDS = 15.0


@click.command()
@config_option
def serve(config_path: Path | None) -> None:
    """Serve until SIGTERM, which drains: health reports NOT_SERVING, calls in flight finish, exit 0.

    SIGHUP reopens the audit log and reloads changed TLS files.
    """
    config = load_config(config_path)
    stop = StopSignal(hangup=True)
    for stream in (standard_streams.OUTPUT, standard_streams.ERROR):
        standard_streams.set_non_blocking(stream)
    with app.thread_limit_as_config_error():
        guard = ExitGuard(stop)
        log = LogWriter(standard_streams.ERROR)
    logs.configure(level=config.log.level, as_json=config.log.format == "json", handler=log)
    log_uncaught_exceptions(guard.thread_ended)
    for warning in config_warnings(config, os.environ):
        _log.warning(warning)
    if too_few := descriptors.warning(config, descriptors.raise_limit()):
        _log.warning(too_few)
    service = app.start(config, log=log)
    guard.started()
    notify_service_manager(READY)
    start_watchdog(service.liveness_problems)
    if config.grpc.insecure:
        _log.warning(
            "insecure = true: everybody who reaches an address may call, and tokens may be sent in clear text",
            extra={"listen": list(service.grpc_addresses)},
        )
    # With Ctrl-C there is no load balancer to wait for.
    delay = config.grpc.drain_delay_seconds if stop.wait(service.reload) == signal.SIGTERM else 0.0
    _log.info("draining", extra={"delay_seconds": delay})
    notify_service_manager(STOPPING)
    guard.end_within(delay + config.grpc.drain_grace_seconds + _CLEANUP_SECONDS)
    service.stop(drain_delay=delay)
    exit_immediately(0)

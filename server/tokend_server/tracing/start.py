"""Starts tracing, depending on the `otel` extra and on OpenTelemetry's own environment variables."""

import logging
from collections.abc import Mapping, Sequence

from tokend_server.errors import ConfigError
from tokend_server.rpc.tracing import Tracing

_log = logging.getLogger(__name__)

#: Any of them enables traces if `OTEL_TRACES_EXPORTER` is not set.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def start(environment: Mapping[str, str], *, aws: bool) -> Tracing:
    """Starts tracing, if the environment enables it and the extra is installed.

    Args:
        environment: The environment of the process, from which the SDK reads the rest.
        aws: Whether the calls to AWS are traced too.

    Raises:
        ConfigError: A variable has a value that cannot be used.
    """
    if not _is_wanted(environment):
        return Tracing()
    try:
        from tokend_server.tracing.provider import start_tracing  # noqa: PLC0415 - the extra may not be installed
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        _log.warning("the environment enables traces, but tokend-server was installed without its extra `otel`")
        return Tracing()
    except ValueError as error:  # a propagator is looked up at import
        raise ConfigError([f"OpenTelemetry: {error}"]) from error
    return start_tracing(environment, aws=aws)


def tracing_problems(environment: Mapping[str, str]) -> Sequence[str]:
    """Returns the problems of the environment's settings of traces, with which the service would not start."""
    try:
        start(environment, aws=False).stop()
    except ConfigError as error:
        return error.problems
    return ()


def _is_wanted(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if exporters := environment.get("OTEL_TRACES_EXPORTER", "").strip():
        return exporters.lower() != "none"
    return any(environment.get(name) for name in _ENDPOINTS)

"""Whether calls are traced: that is up to the `otel` extra and to OpenTelemetry's own environment variables."""

import logging
from collections.abc import Mapping, Sequence

from tokend_server.errors import ConfigError
from tokend_server.rpc.tracing import Tracing

_log = logging.getLogger(__name__)

#: Any of them asks for traces where `OTEL_TRACES_EXPORTER` does not say.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def start(environment: Mapping[str, str], *, aws: bool) -> Tracing:
    """Begins to trace, if the environment asks for it and the extra is installed.

    Args:
        environment: The environment of the process, where the SDK looks up the rest.
        aws: Whether the calls to AWS are traced too.

    Raises:
        ConfigError: A variable asks for what cannot be had.
    """
    if not _is_wanted(environment):
        return Tracing()
    try:
        from tokend_server.tracing.provider import start_tracing  # noqa: PLC0415 - the extra may not be installed
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        _log.warning("the environment asks for traces, but tokend-server was installed without its extra `otel`")
        return Tracing()
    except ValueError as error:  # a propagator is looked for when it is loaded
        raise ConfigError([f"OpenTelemetry: {error}"]) from error
    return start_tracing(environment, aws=aws)


def tracing_problems(environment: Mapping[str, str]) -> Sequence[str]:
    """What the environment asks for of traces and cannot be had, for which a service would not start."""
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

"""Configures OpenTelemetry's SDK by its standard environment variables."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import entry_points, version

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from tokend_server.errors import ConfigError
from tokend_server.rpc.tracing import Tracing
from tokend_server.tracing.export import RedactingExporter
from tokend_server.tracing.spans import current_trace_id, span_factory, tracing_calls

_log = logging.getLogger(__name__)

#: Seconds that the service waits for a collector when it stops.
_FLUSH_TIMEOUT = 5.0

#: The variables with the protocol of `otlp`, in order: for traces, for all signals.
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

_EXPORTERS_BY_PROTOCOL = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def start_tracing(environment: Mapping[str, str], *, aws: bool) -> Tracing:
    """Starts tracing; the SDK reads sampler, limits, batches and the exporters' own settings.

    Args:
        environment: The environment with the names of exporters.
        aws: Whether the calls to AWS are traced too.

    Raises:
        ConfigError: An exporter or a limit cannot be used.
    """
    exporters = [_exporter(name) for name in _exporter_names(environment)]
    try:
        provider = _provider(exporters)
    except ValueError as error:
        raise ConfigError([f"OpenTelemetry: {error}"]) from error
    end_aws = _trace_aws(provider) if aws else lambda: None

    def stop() -> None:
        end_aws()
        _shut_down(provider)

    return Tracing(tracing_calls(provider), span_factory(provider), current_trace_id, stop)


def _exporter_names(environment: Mapping[str, str]) -> Iterator[str]:
    """Yields the names under which exporters are registered."""
    for name in (environment.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        if name.strip() != "otlp":
            yield name.strip()
            continue
        variable = next(filter(environment.get, _PROTOCOLS), _PROTOCOLS[-1])
        protocol = (environment.get(variable) or "grpc").strip()
        if protocol not in _EXPORTERS_BY_PROTOCOL:
            raise ConfigError([f"{variable}: {protocol!r} is not one of {[*_EXPORTERS_BY_PROTOCOL]}"])
        yield _EXPORTERS_BY_PROTOCOL[protocol]


def _exporter(name: str) -> SpanExporter:
    found = entry_points(group="opentelemetry_traces_exporter", name=name)
    if not found:
        raise ConfigError([f"OTEL_TRACES_EXPORTER: no exporter {name!r} is installed"])
    try:
        exporter: SpanExporter = next(iter(found)).load()()
    except Exception as error:
        raise ConfigError([f"OTEL_TRACES_EXPORTER: {name} cannot be used: {error}"]) from error
    return exporter


def _provider(exporters: Iterable[SpanExporter]) -> TracerProvider:
    """Returns the SDK's provider with these exporters.

    Raises:
        ValueError: A variable has an invalid value.
    """
    # At the interpreter's exit it would wait for a collector without a timeout of tokend.
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(RedactingExporter(exporter)))
    return provider


def _resource() -> Resource:
    given = Resource({SERVICE_VERSION: version("tokend-server")}).merge(Resource.create())
    # The SDK's default if neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES has a service name.
    nameless = str(given.attributes[SERVICE_NAME]).startswith("unknown_service")
    return given.merge(Resource({SERVICE_NAME: "tokend"})) if nameless else given


def _trace_aws(provider: TracerProvider) -> Callable[[], None]:
    """Traces boto3's calls, and returns a function that stops this."""
    from opentelemetry.instrumentation.botocore import BotocoreInstrumentor  # noqa: PLC0415 - loaded only if it is configured

    instrumentor = BotocoreInstrumentor()  # type: ignore[no-untyped-call] # it has no types
    instrumentor.instrument(tracer_provider=provider)
    end: Callable[[], None] = instrumentor.uninstrument
    return end


def _shut_down(provider: TracerProvider) -> None:
    """Exports the remaining spans, and waits only for a short time for a collector that does not answer."""
    ending = threading.Thread(target=provider.shutdown, name="tracing-stop", daemon=True)
    ending.start()
    ending.join(_FLUSH_TIMEOUT)
    if ending.is_alive():
        _log.warning("the collector does not accept the last spans", extra={"waited_seconds": _FLUSH_TIMEOUT})

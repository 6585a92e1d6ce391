"""Which calls are traced, and where their spans are exported."""

import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from tests.tracing.collector import Collector, grpc_collector, http_collector

from tokend_server.errors import ConfigError
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.tracing import Tracing
from tokend_server.tracing.start import start

METHOD = Method("example.v1.Parrot", "Repeat", "unary")

#: Where no server listens: the discard port, which only root could take.
NOWHERE = "http://127.0.0.1:9"


def behavior(request: bytes, _context: object) -> bytes:
    return request


def traces(tracing: Tracing) -> bool:
    return tracing.layer(METHOD, behavior) is not behavior


@contextmanager
def started(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracing]:
    """Returns tracing as configured by these environment variables."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tracing = start(environment, aws=False)
    try:
        yield tracing
    finally:
        tracing.stop()


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": NOWHERE},
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "false"},
    ],
)
def test_environment_variables_enable_tracing(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with started(environment, monkeypatch) as tracing:
        assert traces(tracing)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_SERVICE_NAME": "tokend"},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": NOWHERE},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": " True "},
    ],
)
def test_tracing_is_disabled_by_default_and_by_environment_variables(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(environment, monkeypatch) as tracing:
        assert not traces(tracing)
        assert tracing.trace_id() is None


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"OTEL_TRACES_EXPORTER": "pigeon"}, "OTEL_TRACES_EXPORTER: no exporter 'pigeon' is installed"),
        ({"OTEL_TRACES_EXPORTER": "otlp,pigeon"}, "OTEL_TRACES_EXPORTER: no exporter 'pigeon' is installed"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' is not one of ['grpc', 'http/protobuf']",
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "thrift",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_TRACES_EXPORTER": "otlp",
            },
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'thrift' is not one of ['grpc', 'http/protobuf']",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
            "OTEL_TRACES_EXPORTER: otlp_proto_grpc cannot be used: could not convert string to float: 'soon'",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-1"},
            "OpenTelemetry: OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be a non-negative integer but got -1",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100000"},
            "OpenTelemetry: max_export_batch_size must be less than or equal to max_queue_size.",
        ),
    ],
)
def test_unavailable_exporters_are_reported_at_the_start(
    environment: Mapping[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as caught, started(environment, monkeypatch):
        pass
    assert caught.value.problems == [problem]


def test_a_propagator_that_is_not_installed_is_reported_at_the_start() -> None:
    """OpenTelemetry looks for propagators when it is imported."""
    program = (
        "import os; from tokend_server.errors import ConfigError; from tokend_server.tracing.start import start\n"
        "try: start(os.environ, aws=False)\n"
        "except ConfigError as error: print(error.problems)"
    )
    environment = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_PROPAGATORS": "tracecontext,nonsense"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    expected = "OpenTelemetry: Propagator nonsense not found. It is either misspelled or not installed."
    assert done.stdout == f"{[expected]}\n"


def test_without_the_extra_the_service_runs_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.startswith(("opentelemetry", "tokend_server.tracing.provider"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with started({"OTEL_TRACES_EXPORTER": "otlp"}, monkeypatch) as tracing:
        assert not traces(tracing)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "extra `otel`" in record.message


def test_opentelemetry_is_not_imported_by_default() -> None:
    code = """
import sys
from tokend_server import __main__, app
from tokend_server.tracing.start import start
start({}, aws=True).stop()
assert "tokend_server.app" in sys.modules
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.fixture(params=[grpc_collector, http_collector])
def collector(request: pytest.FixtureRequest) -> Iterator[Collector]:
    with request.param() as running:
        yield running


@pytest.mark.parametrize(
    ("environment", "service_name"),
    [
        ({}, "tokend"),
        ({"OTEL_SERVICE_NAME": "tokend-eu"}, "tokend-eu"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=tokend-us,service.version=9"}, "tokend-us"),
    ],
)
def test_stopping_exports_the_remaining_spans_with_the_service_name(
    environment: Mapping[str, str], service_name: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    with started({**collector.environment, **later, **environment}, monkeypatch) as tracing:
        tracing.layer(METHOD, behavior)(b"", FakeContext())
        assert collector.spans() == []
    (received,) = collector.spans()
    assert received.name == "example.v1.Parrot/Repeat"
    assert received.resource["service.name"] == service_name
    assert (received.resource["service.version"] == "9") is (service_name == "tokend-us")


class FakeContext:
    """The parts of a call that its span needs."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def peer(self) -> str:
        return "unix:"

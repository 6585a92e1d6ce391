"""Modules that use private parts of libraries report missing ones."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import joserfc.jwk
import opentelemetry.instrumentation.grpc as otel_grpc
import prometheus_client
import psycopg
import pytest
import urllib3.connection
from botocore.credentials import RefreshableCredentials
from botocore.httpsession import URLLib3Session
from botocore.retries import standard
from grpc import _server
from prometheus_client.values import MutexValue

from tokend_server.library_parts import UnsupportedLibraryError

CYGRPC: object = import_module("grpc._cython.cygrpc")
GRPC, BOTOCORE = "rpc.grpc_internals", "aws.botocore_internals"
CALL_POOLS, STREAM_POOLS = (f"thread pools for the {each} of one method" for each in ("calls", "streams"))
OTEL, JOSERFC, URLLIB3 = "tracing.opentelemetry_internals", "oidc.joserfc_internals", "oidc.urllib3_internals"
PSYCOPG = "engines.local.stores.postgresql.psycopg_internals"
PROMETHEUS = "prometheus_internals"


COGNITO_POOL = """
[pools."us-east-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f"]
engine = "cognito"
developer_provider_name = "login.example.test"
"""


def nothing(*_arguments: Any, **_options: Any) -> Any:  # noqa: ANN401 - in the place of anything
    return None


def submitting_the_state_first(event: Any, state: Any, handler: Any, _pool: Any) -> None:  # noqa: ANN401 - gRPC's own
    handler.stream_unary.experimental_thread_pool.submit(nothing, state, event, handler.stream_unary)


def registering_by_another_name(client: Any, _max_attempts: int) -> Any:  # noqa: ANN401 - botocore's own
    handler = SimpleNamespace(needs_retry=nothing)
    client.meta.events.register("needs-retry.one", nothing, unique_id="another")
    return handler


class ReadingMore:
    """An interceptor that reads more of a call's details than its method name."""

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:  # noqa: ANN401 - gRPC's own
        return continuation(details.invocation_metadata)


#: A module, the change of its library, and the missing part.
CHANGES: list[tuple[str, object, str, object, str]] = [
    (
        GRPC,
        _server,
        "_select_thread_pool_for_behavior",
        lambda _, pool: pool,
        CALL_POOLS,
    ),
    (GRPC, _server, "_handle_stream_unary", submitting_the_state_first, CALL_POOLS),
    (GRPC, _server, "_handle_stream_stream", nothing, STREAM_POOLS),
    (GRPC, _server, "_RPCState", SimpleNamespace, "callbacks for the ends of calls"),
    (GRPC, CYGRPC, "RequestCallEvent", object, "the calls of its events"),
    (BOTOCORE, botocore.session.Session, "get_credentials", nothing, "credentials of a session's own"),
    (BOTOCORE, RefreshableCredentials, "refresh_needed", nothing, "the ends of credentials"),
    (BOTOCORE, URLLib3Session, "__init__", lambda _: None, "connections of a client's own"),
    (BOTOCORE, standard, "register_retry_handler", registering_by_another_name, "standard retries that can be asked"),
    (OTEL, otel_grpc, "server_interceptor", lambda _: ReadingMore(), "an interceptor that wraps a method once"),
    (JOSERFC, joserfc.jwk.ECKey, "binding", None, "EC keys of their members"),
    (JOSERFC, joserfc.jwk.RSAKey, "binding", None, "RSA keys of their members"),
    (URLLIB3, urllib3.connection.HTTPConnection, "connect", nothing, "connections over sockets of others"),
    (URLLIB3, urllib3.connection.HTTPSConnection, "connect", nothing, "TLS over sockets of others"),
    (PSYCOPG, psycopg.Cursor, "execute", nothing, "one method in which connections wait"),
    (PSYCOPG, psycopg.Connection, "commit", nothing, "one method in which connections wait"),
    (PSYCOPG, psycopg.waiting, "wait", nothing, "an error that ends a wait"),
    (PSYCOPG, psycopg.errors, "_WaitTimeout", None, "an error that ends a wait"),
    (PROMETHEUS, MutexValue, "inc", nothing, "values that counters add to"),
    (PROMETHEUS, prometheus_client.Histogram, "_metric_init", nothing, "buckets that histograms count in"),
]


def load(module: str) -> None:
    """Loads a second instance of a module."""
    spec = find_spec(f"tokend_server.{module}")
    assert spec
    assert spec.loader
    spec.loader.exec_module(module_from_spec(spec))


@pytest.mark.parametrize("module", [GRPC, BOTOCORE, OTEL, JOSERFC, URLLIB3, PSYCOPG, PROMETHEUS])
def test_the_installed_library_has_all_used_parts(module: str) -> None:
    load(module)


@pytest.mark.parametrize(("module", "library", "name", "other", "missing"), CHANGES)
def test_a_changed_part_of_a_library_is_reported(  # noqa: PLR0913, PLR0917 - a table's columns
    module: str, library: object, name: str, other: object, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, name, other)
    with pytest.raises(UnsupportedLibraryError, match=rf"cannot be used: tokend does not work without .*{missing}"):
        load(module)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("del _server._RPCState", ("serve",)),
        ("del _server._RPCState", ("check-config",)),
        ("standard.register_retry_handler = None", ("check-config", "--online")),
    ],
)
def test_a_command_reports_an_unsupported_library_without_a_traceback(
    change: str, words: Sequence[str], tmp_path: Path
) -> None:
    config = tmp_path / "tokend.toml"
    config.write_text(COGNITO_POOL, encoding="utf-8")
    program = (
        f"from botocore.retries import standard; from grpc import _server; {change}; "
        "from tokend_server.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words, "--config", config],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot be used: tokend does not work without" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_prometheus_multiproc_dir_is_rejected(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tokend_server", command],
        env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("PROMETHEUS_MULTIPROC_DIR is set")
    assert done.stderr.endswith("unset the variable.\n")
    assert not list(tmp_path.iterdir())

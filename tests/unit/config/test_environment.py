"""Variables that begin with TOKEND_ but are not settings."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.config.file_parts import SECRET

from tokend_server.config import Config, environment_variables, load_config
from tokend_server.config.environment import service_variables
from tokend_server.config.warnings import config_warnings
from tokend_server.errors import ConfigError

ROOT = Path(__file__).parents[3]

ADDRESSES = ("10.96.0.17", "fd00::17")


def of_a_service(name: str, address: str = "10.96.0.17", ports: Mapping[str, int] | None = None) -> dict[str, str]:
    """Returns the variables that Kubernetes sets in containers for a Service of their namespace."""
    prefix = name.upper().replace("-", "_")
    ports = ports or {"grpc": 50051, "http-metrics": 9090}
    first = next(iter(ports.values()))
    host = f"[{address}]" if ":" in address else address
    variables = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(first),
        f"{prefix}_PORT": f"tcp://{host}:{first}",
    }
    for port_name, port in ports.items():
        variables[f"{prefix}_SERVICE_PORT_{port_name.upper().replace('-', '_')}"] = str(port)
        for protocol in ("tcp", "udp", "sctp"):
            of_port = f"{prefix}_PORT_{port}_{protocol.upper()}"
            variables |= {
                of_port: f"{protocol}://{host}:{port}",
                f"{of_port}_PROTO": protocol,
                f"{of_port}_PORT": str(port),
                f"{of_port}_ADDR": address,
            }
    return variables


SECTIONS = sorted({section or name for section, name in environment_variables().values()})

#: Services whose variables begin like those of a setting or a table.
SERVICES = (
    "tokend",
    "tokend-issuer",
    "tokend-eu-west-1",
    *(f"tokend-{section.replace('_', '-')}" for section in SECTIONS),
    "tokend-issuer-listen",
    "tokend-config",
)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("name", SERVICES)
def test_variables_of_kubernetes_services_are_ignored(name: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = of_a_service(name, address)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert load_config(None) == Config()
    assert service_variables(variables) == sorted(variables)


def test_variables_of_services_do_not_hide_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in (of_a_service("tokend") | of_a_service("tokend-grpc")).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("TOKEND_GRPC_THREADS", "3")
    assert load_config(None).grpc.threads == 3


def test_variables_of_a_docker_link_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    link = {
        "TOKEND_NAME": "/web/tokend",
        "TOKEND_PORT": "tcp://172.17.0.5:50051",
        "TOKEND_PORT_50051_TCP": "tcp://172.17.0.5:50051",
        "TOKEND_PORT_50051_TCP_START": "tcp://172.17.0.5:50051",
        "TOKEND_PORT_50051_TCP_PORT_END": "50059",
        "TOKEND_ENV_PYTHON_VERSION": "3.11.7",
    }
    for variable, value in link.items():
        monkeypatch.setenv(variable, value)
    assert load_config(None) == Config()
    assert service_variables(link) == sorted(link)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOKEND_PORT", "50051"),
        ("TOKEND_GRPC_PORT", "50051"),
        ("TOKEND_GRPC_PORT", "http://10.0.0.1:80"),
        ("TOKEND_SERVICE_HOST", "a b"),
        ("TOKEND_SERVICE_PORT", "tcp"),
        ("TOKEND_NAME", "tokend"),
        ("TOKEND_ENV_X", "1"),  # of a missing link
        ("TOKEND_PORT_50051_TCP_PROTO", "http"),
        ("tokend_grpc_threads", "3"),
        ("Tokend_Grpc_Threads", "3"),
        ("TOKEND_GRPC", '{"threads": 3}'),
        ("TOKEND_POLICY_FIRST", "{}"),
    ],
)
def test_similar_variables_are_rejected(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as raised:
        load_config(None)
    (problem,) = raised.value.problems
    assert problem.startswith(f"{variable}: there is no such setting")


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("TOKEND_GRPC_THREAD", "TOKEND_GRPC_THREADS"),
        ("TOKEND_GRPC_LISTENS", "TOKEND_GRPC_LISTEN"),
        ("TOKEND_DATADIR", "TOKEND_DATA_DIR"),
        ("tokend_log_level", "TOKEND_LOG_LEVEL"),
        ("TOKEND_ISSUER_URI", "TOKEND_ISSUER_URL"),
    ],
)
def test_a_mistyped_variable_is_reported_with_the_one_that_may_be_meant(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.raises(ConfigError) as raised:
        load_config(None)
    assert raised.value.problems == [f"{variable}: there is no such setting; did you mean {meant}?"]


def test_no_setting_has_a_variable_that_a_service_could_have() -> None:
    values = ("10.96.0.17", "50051", "tcp://10.96.0.17:50051", "tcp", "/a/b")
    assert not [name for name in environment_variables() for value in values if service_variables({name: value})]


@pytest.mark.parametrize("variable", ["TOKEND_POOLS", "TOKEND_POLICY", "TOKEND_GRPC_LISTENERS", "TOKEND_CALLERS_JWT"])
@pytest.mark.parametrize(
    "text", ["{", "pools", "[" * 100_000, "null", '{"row": {}, "row": {}}', '{"row": {"a": 1, "a": 1}}']
)
def test_a_table_that_is_no_json_is_reported_with_all_other_problems(
    variable: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    monkeypatch.setenv("TOKEND_GRPC_THREADS", "many")
    with pytest.raises(ConfigError) as raised:
        load_config(None)
    section, name = environment_variables()[variable]
    setting = f"{section}.{name}" if section else name
    assert f"{setting}: must be a table; in a variable, as JSON with unique names" in raised.value.problems
    assert len(raised.value.problems) == 2


def test_variables_of_services_are_reported_in_one_line() -> None:
    (warning,) = config_warnings(Config(), of_a_service("tokend") | {"PATH": "/bin"})
    assert all(variable in warning for variable in of_a_service("tokend"))
    assert "PATH" not in warning
    assert not list(config_warnings(Config(), {"TOKEND_LOG_LEVEL": "info"}))


@pytest.mark.parametrize("variable", ["TOKEND_GRPC_THREAD", "TOKEND_LISTEN", "TOKEND_"])
def test_an_unknown_variable_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, SECRET)
    with pytest.raises(ConfigError) as raised:
        load_config(None)
    (problem,) = raised.value.problems
    assert problem.startswith(f"{variable}: there is no such setting")
    assert SECRET not in str(raised.value)


def of_our_commands() -> set[str]:
    """Returns the variables that a command reads, or is given, on a page."""
    pages = (*ROOT.glob("*.md"), *ROOT.glob("server/*.md"), *ROOT.glob("clients/**/*.md"))
    named = re.findall(r"\bTOKEND(?:_[A-Z]+)+\b", "\n".join(page.read_text("utf-8") for page in pages))
    return set(named) - environment_variables().keys() - {"TOKEND_PORT"}  # which Kubernetes sets


@pytest.mark.parametrize("variable", sorted(of_our_commands()))
def test_documented_variables_that_are_not_settings_are_ignored(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "anything")
    assert load_config(None) == Config()

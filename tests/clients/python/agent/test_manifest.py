"""The agent's manifest for Kubernetes: its parts match, and the agent accepts its configuration."""

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # it has no types
from tests.clients.toolchains import ROOT
from tests.support.kubernetes import validate

from tokend_client.agent.commands import COMMANDS
from tokend_client.agent.configuration import AgentSettings
from tokend_client.agent.loading import load

MANIFEST = ROOT / "clients" / "python" / "examples" / "tokend-agent.yaml"


@pytest.fixture
def documents() -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8"))}


@pytest.fixture
def pod(documents: dict[str, Any]) -> Any:  # noqa: ANN401 - YAML
    return documents["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture
def settings(documents: dict[str, Any], tmp_path: Path) -> AgentSettings:
    path = tmp_path / "agent.toml"
    path.write_text(documents["ConfigMap"]["data"]["agent.toml"], encoding="utf-8")
    return load(path)


@pytest.mark.parametrize("release", ["1.29", "1.33", "1.37"])
def test_the_manifest_is_valid_for_each_kubernetes_release(documents: dict[str, Any], release: str) -> None:
    """The releases from the first one with sidecars enabled by default."""
    for each in documents.values():
        validate(each, release)


def mounts(container: Any) -> dict[str, Any]:  # noqa: ANN401 - YAML
    return {each["mountPath"]: each for each in container["volumeMounts"]}


def test_each_path_of_the_configuration_is_on_a_mount_that_fits(pod: Any, settings: AgentSettings) -> None:  # noqa: ANN401
    (agent,) = pod["initContainers"]
    at = mounts(agent)
    (token,) = settings.tokens
    assert settings.health.socket_path is not None
    for written in (token.file, settings.health.socket_path):
        assert "readOnly" not in at[str(written.parent)]
    for read in (settings.tokend.ca_file, settings.tokend.bearer_token_file, Path(agent["command"][-1])):
        assert read is not None
        assert at[str(read.parent)]["readOnly"]
    volumes = {each["name"] for each in pod["volumes"]}
    assert {each["name"] for container in (agent, *pod["containers"]) for each in mounts(container).values()} == volumes


def test_the_program_reads_the_file_that_the_agent_writes(pod: Any, settings: AgentSettings) -> None:  # noqa: ANN401
    (program,) = pod["containers"]
    (agent,) = pod["initContainers"]
    (token,) = settings.tokens
    directory = str(token.file.parent)
    variables = {each["name"]: each.get("value") for each in program["env"]}
    assert variables["AWS_WEB_IDENTITY_TOKEN_FILE"] == str(token.file)
    assert mounts(program)[directory]["readOnly"]
    assert mounts(program)[directory]["name"] == mounts(agent)[directory]["name"]
    # Two users, and the volume's group: the mode decides what it may read.
    assert agent["securityContext"]["runAsUser"] != program["securityContext"]["runAsUser"]
    assert pod["securityContext"]["fsGroup"]
    assert token.mode == 0o640


def test_the_commands_of_the_manifest_exist(pod: Any) -> None:  # noqa: ANN401 - YAML
    (agent,) = pod["initContainers"]
    for command in (agent["command"], agent["startupProbe"]["exec"]["command"]):
        assert command[0] == "tokend-agent"
        assert command[1] in COMMANDS
    assert agent["restartPolicy"] == "Always"

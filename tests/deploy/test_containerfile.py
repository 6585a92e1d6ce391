"""The image: its file passes the linter, and installs the pinned versions. `poe image` builds and starts it."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from tests.clients.toolchains import need, run
from tests.deploy.containerfile import instructions

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "server" / "deploy" / "image"
INSTRUCTIONS = list(instructions(IMAGE / "Containerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SERVER = tomllib.loads((ROOT / "server" / "pyproject.toml").read_text("utf-8"))["project"]

#: Packages of this repository, which the image builds.
OURS = {"tokend-envoy-proto", "tokend-proto"}


def pinned(file: str) -> dict[str, str]:
    """Returns the versions in a file of requirements, each of which must have digests."""
    entries = re.split(r"\n(?=\w)", (IMAGE / file).read_text("utf-8"))
    assert all("--hash=sha256:" in entry for entry in entries)
    return dict(entry.split(" ")[0].strip().split("==") for entry in entries)


def test_hadolint_finds_nothing() -> None:
    run([need("hadolint", "the Containerfile"), str(IMAGE / "Containerfile")], IMAGE)


@pytest.mark.parametrize("file", ["requirements.txt", "build-requirements.txt"])
def test_the_image_installs_the_versions_that_the_tests_ran_with(file: str) -> None:
    settings = PROJECT["tool"]["uv"]
    pins = dict(pin.split("==") for pin in settings["constraint-dependencies"])
    if file == "build-requirements.txt":
        pins |= dict(pin.split("==") for pin in settings["build-constraint-dependencies"])
    differing = {name: version for name, version in pinned(file).items() if pins.get(name, version) != version}
    assert differing == {}
    assert file != "requirements.txt" or pinned(file).keys() <= pins.keys()


def test_the_image_has_all_that_the_server_needs() -> None:
    extras = SERVER["optional-dependencies"]
    asked = [
        Requirement(text) for text in [*SERVER["dependencies"], *(text for extra in extras.values() for text in extra)]
    ]
    versions = pinned("requirements.txt")
    for each in asked:
        if each.name not in OURS:
            assert each.specifier.contains(Version(versions[each.name]))


def test_the_image_is_run_by_a_user_without_rights_and_without_a_shell() -> None:
    of_the_result = INSTRUCTIONS[max(number for number, each in enumerate(INSTRUCTIONS) if each.name == "FROM") :]
    by_name = {each.name: each for each in of_the_result}
    user, group = by_name["USER"].text.split(":")
    assert int(user) >= 1000
    assert int(group) >= 1000
    assert "RUN" not in by_name
    assert by_name["HEALTHCHECK"].text.startswith("CMD [")
    assert by_name["ENTRYPOINT"].words == ["/opt/tokend/bin/tokend"]


def test_the_command_that_is_shown_keeps_the_health_check_of_the_image() -> None:
    """Podman builds images in the OCI format by default, which has no health check."""
    head = (IMAGE / "Containerfile").read_text("utf-8").partition("ARG ")[0]
    assert "HEALTHCHECK" in {each.name for each in INSTRUCTIONS}
    assert re.search(r"podman build .*--format docker", head)


def test_both_images_are_arguments_without_a_default() -> None:
    assert [each.text for each in INSTRUCTIONS if each.name == "ARG"] == ["BUILD_IMAGE", "RUNTIME_IMAGE"]
    assert [each.words[0] for each in INSTRUCTIONS if each.name == "FROM"] == ["${BUILD_IMAGE}", "${RUNTIME_IMAGE}"]

"""clients/go/README.md: an empty module installs the client in each of the page's ways, and gets a token."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.clients.toolchains import BUILD_TIMEOUT, ROOT, need, run
from tests.support.ports import free_port
from tests.support.server_process import ServerProcess, write_config

CLIENT = ROOT / "clients" / "go"
PAGE = (CLIENT / "README.md").read_text(encoding="utf-8")
VERSION = "v0.1.0"

FROM_CHECKOUT, PUBLISHING, FROM_PROXY, FROM_REPOSITORY, FOR_AWS, *_ = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
TAGS = re.findall(r"^<meta name=\"go-import\".*$", PAGE, re.MULTILINE)
PROGRAM = re.findall(r"```go\n(package main\n.*?)```", PAGE, re.DOTALL)[0]

#: The pool of the page's program.
POOL = """
[pools."local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"]
developer_provider_name = "login.example.internal"
signing_algorithm = "ES256"
"""

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)


@dataclass(frozen=True)
class Consumer:
    """An empty module next to a checkout of this repository.

    Attributes:
        directory: Its directory.
        environment: The environment of its commands.
        version: The version that it installs; the page's version, if it may be put into the module cache.
    """

    directory: Path
    environment: Mapping[str, str]
    version: str = VERSION

    def follow(self, commands: str) -> None:
        """Runs commands of the page."""
        adapted = commands.replace("/srv/go-modules", str(self.directory.parent / "go-modules"))
        run(["sh", "-ec", adapted.replace(VERSION, self.version)], self.directory, self.environment)

    def first_token(self) -> str:
        """Builds and runs the page's program, and returns what it prints."""
        program = self.directory / "first"
        run(["go", "build", "-o", str(program), "."], self.directory, self.environment)
        return subprocess.run(
            [program], check=True, capture_output=True, encoding="utf-8", timeout=BUILD_TIMEOUT
        ).stdout


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a tokend with the page's pool."""
    with ServerProcess(write_config(tmp_path_factory.mktemp("served"), POOL)) as server:
        yield server.endpoint


@pytest.fixture
def consumer(tmp_path: Path, endpoint: str) -> Consumer:
    need("go", "the Go client")
    (tmp_path / "tokend").symlink_to(ROOT)
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.test/first\n", encoding="utf-8")
    (module / "main.go").write_text(PROGRAM.replace("127.0.0.1:50051", endpoint), encoding="utf-8")
    return Consumer(module, {**os.environ, "GOWORK": "off"})


def test_a_module_gets_a_token_with_the_client_from_a_checkout(consumer: Consumer) -> None:
    consumer.follow(FROM_CHECKOUT)
    assert re.fullmatch(r"local:[0-9a-f-]{36} [\w.-]+\n", consumer.first_token())


def test_a_module_gets_a_token_with_the_client_from_a_module_proxy(consumer: Consumer) -> None:
    with own_version(consumer) as publishing:
        publishing.follow(PUBLISHING)
        publishing.follow(FROM_PROXY)
        assert re.fullmatch(r"local:[0-9a-f-]{36} [\w.-]+\n", publishing.first_token())


def test_the_module_for_aws_is_published_beside_the_client(consumer: Consumer) -> None:
    (consumer.directory / "main.go").write_text(
        'package main\n\nimport _ "tokend.internal/go/tokendaws"\n', encoding="utf-8"
    )
    known = f"file://{_go_env('GOMODCACHE')}/cache/download"  # most other modules are already there
    environment = {"GOPROXY": f"{known},{_go_env('GOPROXY')}", "GOSUMDB": "off", **_own_cache(consumer)}
    aside = Consumer(consumer.directory, {**consumer.environment, **environment})
    consumer.follow(PUBLISHING)
    aside.follow(FROM_PROXY + FOR_AWS)
    required = (consumer.directory / "go.mod").read_text(encoding="utf-8")
    assert f"tokend.internal/go {VERSION}" in required
    assert f"tokend.internal/go/tokendaws {VERSION}" in required


def test_a_version_is_published_once(consumer: Consumer) -> None:
    proxy = consumer.directory.parent / "go-modules"
    consumer.follow(PUBLISHING)
    consumer.follow(PUBLISHING)
    version = proxy / "tokend.internal" / "go" / "@v" / VERSION
    assert (version.parent / "list").read_text(encoding="utf-8") == f"{VERSION}\n"
    version.with_name(f"{VERSION}.mod").write_text("module tokend.internal/go\n", encoding="utf-8")
    with pytest.raises(pytest.fail.Exception, match=r"v0\.1\.0\.mod has other content"):
        consumer.follow(PUBLISHING)


def test_both_modules_can_be_downloaded_from_the_repository(consumer: Consumer, tmp_path: Path) -> None:
    repository = tmp_path / "repositories" / "tokend"
    shutil.copytree(CLIENT, repository / "clients" / "go")
    author = [argument for key in ("name", "email") for argument in ("-c", f"user.{key}=test")]
    tags = [["tag", f"clients/go/{VERSION}"], ["tag", f"clients/go/tokendaws/{VERSION}"]]
    for arguments in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "x"], *tags):
        run(["git", *arguments], repository)
    with git_daemon(repository.parent) as url, vanity_host(f"{url}/tokend") as proxy:
        environment = {
            **_own_cache(consumer),
            "GOINSECURE": "*",
            "http_proxy": proxy,
            "https_proxy": proxy,
            "no_proxy": "",
        }
        Consumer(consumer.directory, {**consumer.environment, **environment}).follow(
            _downloading(FROM_REPOSITORY + FOR_AWS)
        )
    for module, directory in (("go", "clients/go"), ("go/tokendaws", "clients/go/tokendaws")):
        downloaded = Path(environment["GOMODCACHE"]) / "cache" / "download" / "tokend.internal" / module / "@v"
        info = json.loads((downloaded / f"{VERSION}.info").read_text(encoding="utf-8"))
        assert (info["Version"], info["Origin"]["Subdir"]) == (VERSION, directory)


@contextmanager
def own_version(consumer: Consumer) -> Iterator[Consumer]:
    """The consumer with a unique version, which does not stay in the machine's module cache."""
    digest = hashlib.sha256()
    for path in sorted(CLIENT.rglob("*.go")):
        digest.update(path.read_bytes())
    # The letter: a version has no numbers with a leading zero (Semantic Versioning 2.0.0, section 9).
    version = f"{VERSION}-test.x{digest.hexdigest()[:12]}"
    try:
        yield Consumer(consumer.directory, {**consumer.environment, **_removable()}, version)
    finally:
        cache = Path(_go_env("GOMODCACHE"))
        shutil.rmtree(cache / "tokend.internal" / f"go@{version}", ignore_errors=True)
        for path in (cache / "cache/download/tokend.internal/go/@v").glob(f"{version}.*"):
            path.unlink()


@contextmanager
def git_daemon(directory: Path) -> Iterator[str]:
    """Serves the repositories of a directory to git."""
    need("git", "the repository of the Go client")
    port = free_port()
    command = ["git", "daemon", "--export-all", f"--base-path={directory}", "--listen=127.0.0.1", f"--port={port}"]
    with subprocess.Popen([*command, "--verbose", str(directory)], stderr=subprocess.PIPE, text=True) as daemon:
        assert daemon.stderr
        assert "Ready to rumble" in daemon.stderr.readline()
        try:
            yield f"git://127.0.0.1:{port}"
        finally:
            daemon.terminate()


@contextmanager
def vanity_host(repository: str) -> Iterator[str]:
    """A proxy that serves the page's tags for every host, each at the page's path in the repository."""
    client, for_aws = (re.sub(r"https://\S+", repository, tag) for tag in TAGS)

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tag = for_aws if "/go/tokendaws" in self.path else client
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"<html><head>{tag}</head></html>".encode())

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _downloading(commands: str) -> str:
    """Returns the commands without those for the module's dependencies, which are already available."""
    return commands.replace("go get", "go mod download")


def _own_cache(consumer: Consumer) -> dict[str, str]:
    """A temporary module cache: the page's version must not be put into the machine's cache."""
    return {"GOMODCACHE": str(consumer.directory.parent / "cache"), **_removable()}


def _removable() -> dict[str, str]:
    return {"GOFLAGS": f"{_go_env('GOFLAGS')} -modcacherw"}


def _go_env(name: str) -> str:
    return _printed_by(["go", "env", name]).strip()


def _printed_by(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8", timeout=BUILD_TIMEOUT).stdout

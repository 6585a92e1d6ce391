"""`uv run poe spire`: SPIRE validates the files of server/deploy/spire, and issues certificates to tokend and a caller.

The server and the agent are built once per machine. They run with the shipped files, except for directories and ports.
tokend and its caller run as separate users, so this requires root. The agent's own command fetches their files, in
place of spiffe-helper.
"""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory

import grpc
from tests.bench import spire
from tests.bench.processes import stop, wait_until
from tests.deploy.chart import DEPLOY
from tests.support.other_users import as_user
from tests.support.ports import free_port
from tests.support.replacing import replaced
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

FILES = DEPLOY / "spire"
SECURITY = (DEPLOY.parent / "SECURITY.md").read_text("utf-8")
PARTS = SERVER, AGENT = "server", "agent"
NAME, CALLER = "tokend.acme.internal", "spiffe://acme.internal/ns/shop/sa/checkout"

#: The users of the page, and ids that stand for them.
UIDS: Mapping[str, int] = {"tokend": 65_531, "checkout": 65_532}

#: The files that the agent's command writes, and spiffe-helper's names of them.
WRITTEN = {"svid.0.pem": "svid.pem", "svid.0.key": "svid_key.pem", "bundle.0.pem": "bundle.pem"}

#: The maximum number of requests for a user's files, twice a second.
_TRIES = 120


class Site:
    """SPIRE in a directory.

    Args:
        directory: The directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sockets = {part: directory / "run" / part / "api.sock" for part in PARTS}
        # Other users run the agent's command too, and cannot reach the folder in which it was built.
        self._programs = {part: Path(copy(spire.build(f"spire-{part}"), directory)) for part in PARTS}
        port = str(free_port())
        places = {
            "/run/spire": f"{directory}/run",
            "/var/lib/spire": f"{directory}/lib",
            "/etc/spire": str(directory),
            "8081": port,
            "spire.acme.internal": "127.0.0.1",
            "0.0.0.0": "127.0.0.1",
        }
        for part in PARTS:
            for folder in (self._sockets[part].parent, directory / "lib" / part):
                folder.mkdir(parents=True)
            text = (FILES / f"{part}.conf").read_text("utf-8")
            self._config(part).write_text(replaced(text, places), "utf-8")

    def check_files(self) -> None:
        """Validates the shipped files with SPIRE."""
        for part in PARTS:
            _run([self._programs[part], "validate", "-config", FILES / f"{part}.conf"])

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Runs a server with the page's entries, and an agent that has joined it."""
        with ExitStack() as running:
            running.enter_context(self._serving(SERVER))
            (self._directory / "bundle.crt").write_text(self._server("bundle", "show"), "utf-8")
            token = self._server("token", "generate", "-spiffeID", "spiffe://acme.internal/node").split()[1]
            for command in re.findall(r"^\$ spire-server (entry create .*)$", SECURITY, re.MULTILINE):
                self._server(*(_by_id(word) for word in shlex.split(command)))
            running.enter_context(self._serving(AGENT, "-joinToken", token))
            yield

    def files_of(self, user: str) -> Path:
        """Returns the directory with a user's certificate, key and authorities."""
        uid, folder = UIDS[user], self._directory / user
        folder.mkdir()
        os.chown(folder, uid, uid)
        command: list[str | Path] = [self._programs[AGENT], "api", "fetch", "x509"]
        command += ["-socketPath", self._sockets[AGENT], "-write", folder]
        for _ in range(_TRIES):  # the agent asks for its entries every few seconds, and has to know this one
            if _succeeds(command, uid):
                break
            time.sleep(0.5)
        for written, name in WRITTEN.items():
            (folder / written).rename(folder / name)
        return folder

    def _server(self, *words: str) -> str:
        return _run([self._programs[SERVER], *words, "-socketPath", self._sockets[SERVER]])

    def _config(self, part: str) -> Path:
        return self._directory / f"{part}.conf"

    @contextmanager
    def _serving(self, part: str, *options: str) -> Iterator[None]:
        program, log = self._programs[part], self._directory / f"{part}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, "run", "-config", self._config(part), *options], stdout=output, stderr=subprocess.STDOUT
            )
        health_check: list[str | Path] = [program, "healthcheck", "-socketPath", self._sockets[part]]
        try:
            wait_until(
                lambda: not subprocess.run(health_check, capture_output=True, check=False).returncode, process, log, 120
            )
            yield
        finally:
            stop(process)


def token_for_the_caller(directory: Path, tokend: Path, checkout: Path) -> str:
    """Serves with the page's settings, and returns tokend's token for the caller.

    Raises:
        grpc.RpcError: tokend refuses the call.
    """
    blocks = re.findall(r"```toml\n\[grpc\]\n(.*?)```", SECURITY, re.DOTALL)
    (settings,) = [block for block in blocks if "/run/tokend-spire/" in block]
    settings = re.sub(r"^listen = .*\n", "", settings.replace("/run/tokend-spire", str(tokend)), flags=re.MULTILINE)
    policy = f'[policy.shop]\ncallers = ["{CALLER}"]\npools = ["*"]\noperations = ["*"]\n'
    authorities, key, certificate = (
        (checkout / name).read_bytes() for name in ("bundle.pem", "svid_key.pem", "svid.pem")
    )
    credentials = grpc.ssl_channel_credentials(authorities, key, certificate)
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, logins={DEVELOPER_PROVIDER: "user-4711"}
    )
    with (
        ServerProcess(write_config(directory, policy, settings)) as server,
        grpc.secure_channel(server.endpoint, credentials, [("grpc.ssl_target_name_override", NAME)]) as channel,
    ):
        stub = DeveloperIdentityServiceStub(channel)
        token: str = stub.GetOpenIdTokenForDeveloperIdentity(request, timeout=30).token
    return token


def _by_id(word: str) -> str:
    return re.sub(r"unix:user:(\w+)", lambda found: f"unix:uid:{UIDS[found[1]]}", word)


def _succeeds(command: Sequence[str | Path], uid: int) -> bool:
    """Reports whether a command succeeds as another user, in none of this process's groups."""
    done = subprocess.run([*as_user(uid), *command], check=False, capture_output=True)
    return not done.returncode


def _run(command: Sequence[str | Path]) -> str:
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stdout}")
    return done.stdout


def main() -> None:
    """Prints the results; raises an error if a check fails."""
    with TemporaryDirectory(prefix="spire-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        site = Site(directory)
        site.check_files()
        print(f"SPIRE {spire.VERSION} takes server.conf and agent.conf")  # noqa: T201 - the report
        with site.serving():
            tokend, checkout = (site.files_of(user) for user in UIDS)
        token = token_for_the_caller(directory, tokend, checkout)
        print(f"tokend has answered {CALLER} with a token of {len(token)} characters")  # noqa: T201 - the report


if __name__ == "__main__":
    main()

"""`uv run poe image`: executes the Containerfile in root file systems of Debian, and starts the result.

There is no container engine: each instruction runs in a chroot, and the result runs as another user, on a read-only
mount, in its own network namespace, without a shell in its tree. Requires root on Debian, and takes some minutes; exit
code 1 if a check fails.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.deploy.containerfile import Instruction, instructions

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "server" / "deploy" / "image" / "Containerfile"

RELEASE = "bookworm"

#: Packages of the build image besides a minimal Debian system; those of the runtime image are Python.
_PYTHON = ("ca-certificates", "libpython3.11-stdlib", "python3-minimal")

#: Programs that the runtime image lacks.
_NO_TOOLS = ("sh", "dash", "bash", "rbash", "perl*", "apt*", "dpkg*", "mount", "su", "gcc*", "cc")

#: Files that are left out of a copy of the repository, as in Containerfile.dockerignore.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.binpb")

_SERVER = """
[store]
url = "sqlite:////tmp/tokend.db"
[grpc]
drain_delay_seconds = 0
[pools."eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f"]
developer_provider_name = "login.example.internal"
"""


class Stage:
    """A root file system that instructions change.

    Attributes:
        root: Its directory.
        environment: The environment variables of its commands.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self._directory = "/"

    def carry_out(self, instruction: Instruction, stages: Mapping[str, Path]) -> None:
        """Executes one instruction; those that only describe the image change nothing here."""
        match instruction.name:
            case "ENV":
                self.environment |= dict(word.split("=", 1) for word in shlex.split(instruction.text))
            case "WORKDIR":
                self._directory = instruction.text
                self._place(self._directory).mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(instruction, stages)
            case "RUN":
                script = f"set -e; cd {self._directory}; {instruction.text}"
                in_root(self.root, ["/bin/sh", "-c", script], self.environment)

    def _copy(self, instruction: Instruction, stages: Mapping[str, Path]) -> None:
        origin = ROOT
        for flag in instruction.flags:
            origin = stages[flag.removeprefix("--from=")]
        *sources, target = instruction.words
        for source in sources:
            found = origin / source.lstrip("/")
            into = self._place(target)
            if found.is_dir():
                shutil.copytree(found, into, symlinks=True, ignore=_LEFT_OUT, dirs_exist_ok=True)
            else:
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, into)

    def _place(self, path: str) -> Path:
        return self.root / os.path.normpath(f"{self._directory}/{path}" if path[0] != "/" else path).lstrip("/")


def build(directory: Path, debian: Path, runtime: Path) -> Path:
    """Builds the image in a directory, from its two base images, and returns the root of the result."""
    directory.mkdir()
    stages: dict[str, Path] = {}
    stage = Stage(directory)
    for instruction in instructions(CONTAINERFILE):
        if instruction.name != "FROM":
            stage.carry_out(instruction, stages)
            continue
        image, *name = instruction.words
        name = name[1:] or ["result"]
        stages[name[0]] = directory / name[0]
        subprocess.run(["cp", "-a", debian if "BUILD" in image else runtime, stages[name[0]]], check=True)
        stage = Stage(stages[name[0]])
    return stage.root


def in_root(root: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Runs a command in a root file system, with this machine's network, host names and certificates."""
    script = (
        'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && root=$1 && shift && exec chroot "$root" "$@"'
    )
    inside = {
        **environment,
        **{name: "/machine-ca.pem" for name in ("PIP_CERT", "SSL_CERT_FILE") if name in os.environ},
    }
    within = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(root), *command]
    subprocess.run(within, check=True, env=inside, stdout=sys.stderr)


def debian(root: Path) -> None:
    """Creates a minimal Debian system, with the same sources of packages and certificates as this machine."""
    tools = root.parent / "debootstrap"
    tools.mkdir()
    subprocess.run(["apt-get", "-q", "download", "debootstrap"], cwd=tools, check=True, stdout=sys.stderr)
    (package,) = tools.glob("debootstrap_*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, tools], check=True)
    scripts = tools / "usr" / "share" / "debootstrap"
    subprocess.run(
        [tools / "usr" / "sbin" / "debootstrap", "--variant=minbase", RELEASE, root],
        check=True,
        env={**os.environ, "DEBOOTSTRAP_DIR": str(scripts)},
        stdout=sys.stderr,
    )
    for name in ("apt", "resolv.conf", "hosts"):
        there, here = root / "etc" / name, Path("/etc", name)
        shutil.copytree(here, there, dirs_exist_ok=True) if here.is_dir() else shutil.copy(here, there)
    if authorities := os.environ.get("SSL_CERT_FILE"):
        shutil.copy(authorities, root / "machine-ca.pem")


def runtime_of(root: Path, target: Path) -> None:
    """Creates a system with Python, but without a shell, from the minimal Debian system."""
    subprocess.run(["cp", "-a", root, target], check=True)
    path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
    in_root(target, ["apt-get", "update"], path)
    in_root(target, ["apt-get", "install", "--yes", "--no-install-recommends", *_PYTHON], path)
    for pattern in _NO_TOOLS:
        for folder in ("bin", "sbin"):
            for found in (target / "usr" / folder).glob(pattern):
                found.unlink()


def digest(tree: Path) -> str:
    """Returns one digest of all names, kinds, modes and contents of a tree."""
    whole = hashlib.sha256()
    for path in sorted(tree.rglob("*")):
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes().hex() if path.is_file() else ""
        whole.update(f"{path.relative_to(tree)} {path.lstat().st_mode:o} {content}\n".encode())
    return whole.hexdigest()


class Running:
    """Runs commands like a container of the image: another user, a read-only tree, a separate network."""

    def __init__(self, root: Path, configuration: Path) -> None:
        found = list(instructions(CONTAINERFILE))
        begin = max(number for number, each in enumerate(found) if each.name == "FROM")
        self._instructions = {each.name: each for each in found[begin:]}
        described = Stage(root)
        described.carry_out(self._instructions["ENV"], {})
        self._environment = described.environment
        self._user = self._instructions["USER"].text.split(":")
        (root / "etc" / "tokend").mkdir(exist_ok=True)
        script = " && ".join(
            [
                'mount --bind "$1" "$1"',
                'mount -t tmpfs tmpfs "$1/tmp"',
                'mount -t proc proc "$1/proc"',
                'mount --bind "$2" "$1/etc/tokend"',
                'mount -o remount,bind,ro "$1"',
                f"{shutil.which('ip')} link set lo up",
                "root=$1",
                "shift 2",
                f'exec setpriv --no-new-privs {shutil.which("chroot")} --userspec={":".join(self._user)} "$root" "$@"',
            ]
        )
        apart = ["unshare", "--mount", "--net", "--propagation", "private"]
        self._before = [*apart, "sh", "-c", script, "sh", str(root), str(configuration)]

    @property
    def health(self) -> list[str]:
        return json.loads(self._instructions["HEALTHCHECK"].text.removeprefix("CMD "))  # type: ignore[no-any-return]

    @property
    def entry(self) -> list[str]:
        return self._instructions["ENTRYPOINT"].words

    @property
    def command(self) -> list[str]:
        return self._instructions["CMD"].words

    def run(self, *command: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self._before, *command],
            env={**self._environment, **more},
            check=False,
            capture_output=True,
            encoding="utf-8",
        )

    @contextmanager
    def serving(self) -> Iterator["subprocess.Popen[str]"]:
        process = subprocess.Popen(
            [*self._before, *self.entry, *self.command], env=self._environment, stderr=subprocess.PIPE, encoding="utf-8"
        )
        assert process.stderr
        for line in process.stderr:
            if '"serving"' in line:
                break
            sys.stderr.write(line)
        yield process
        process.terminate()
        process.stderr.read()
        process.wait(60)

    def beside(self, process: "subprocess.Popen[str]", command: Sequence[str]) -> int:
        """Runs a command in the container of a process, and returns its exit code."""
        within = ["nsenter", f"--target={process.pid}", "--mount", "--net", f"--root=/proc/{process.pid}/root"]
        within += [f"--setuid={self._user[0]}", f"--setgid={self._user[1]}", "--wd=/"]
        done = subprocess.run([*within, *command], env=self._environment, check=False, stdout=subprocess.DEVNULL)
        return done.returncode


def problems(bases: Path, directory: Path) -> Iterator[tuple[str, bool]]:
    """Builds the image twice in a directory, runs it, and yields the checks with their results."""
    base, runtime = bases / "debian", bases / "runtime"
    if not runtime.exists():
        debian(base)
        runtime_of(base, runtime)
    roots = [build(directory / name, base, runtime) for name in ("first", "second")]
    trees = [digest(root / "opt" / "tokend") for root in roots]
    yield f"two builds have one digest: {trees[0][:16]}", trees[0] == trees[1]
    materials = json.loads((roots[0] / "opt" / "tokend" / "sbom.cdx.json").read_text("utf-8"))
    yield f"the bill of materials lists {len(materials['components'])} packages", len(materials["components"]) > 50
    yield from of_running(roots[0], directory)


def of_running(root: Path, directory: Path) -> Iterator[tuple[str, bool]]:
    """Runs the image, and yields the checks with their results."""
    configuration = directory / "configuration"
    configuration.mkdir()
    (configuration / "tokend.toml").write_text(_SERVER, encoding="utf-8")
    image = Running(root, configuration)
    yield "there is no shell", "No such file" in image.run("/bin/sh", "-c", "true").stderr
    for place in ("/opt/tokend/written", "/written"):
        written = image.run("/opt/tokend/bin/python", "-c", f"open({place!r}, 'w')")
        yield f"{place} cannot be written", "Errno 30" in written.stderr
    who = image.run("/opt/tokend/bin/python", "-c", "import os; print(os.getuid(), os.getgid(), os.getgroups())")
    yield f"it runs as {who.stdout.strip()}", who.stdout.startswith("65532 65532")
    first = image.run(*image.entry, "quickstart", "--once", TOKEND_DATA_DIR="/tmp")
    yield "its first token is verified", first.returncode == 0 and "verified with the keys" in first.stdout
    with image.serving() as process:
        yield "it serves, and its health check passes", image.beside(process, image.health) == 0
        status = image.beside(process, [*image.entry, "keys", "status"])
        yield "other commands in its container know its configuration", status == 0
        process.terminate()
        process.wait(60)
        yield "it stops in good order", process.returncode == 0
    yield "its health check fails where nothing serves", "Connection refused" in image.run(*image.health).stderr


def main() -> int:
    """Prints the result of each check."""
    parser = ArgumentParser(prog="poe image", description=__doc__)
    parser.add_argument(
        "--directory", type=Path, help="empty, or with the systems of Debian of a run before; a tmpfs is fast"
    )
    options = parser.parse_args()
    failed = 0
    with TemporaryDirectory(prefix="tokend-image-", dir=options.directory) as own:
        for text, holds in problems(options.directory or Path(own), Path(own)):
            print(f"{'ok' if holds else 'NOT'}: {text}", flush=True)  # noqa: T201 - the report
            failed += not holds
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

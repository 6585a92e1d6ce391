"""The cost of a call's checks: a server with all of them compared with the same server without any, both over TLS."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from tests.bench import serve_tokend
from tests.bench.fill import fill_sqlite, known_users
from tests.bench.generator import Call, Generator, Sample, build
from tests.bench.processes import Cores
from tests.support.authority import Authority

USERS = 20_000
WARM_UP_SECONDS = 1.0

#: How many times each server has its turn in a round, so that both meet the same moods of the machine.
TURNS = 5

#: The samples without and with the checks, in each turn, by signing algorithm.
Rounds = Mapping[str, Sequence[tuple[Sample, Sample]]]

_CALLER = "spiffe://bench.example.test/ns/bench/sa/load"


@dataclass(frozen=True)
class _Server:
    """A server, and the TLS files of its client."""

    tokend: serve_tokend.Tokend
    tls: Sequence[str]

    def call(self, plain: serve_tokend.Tokend, call: Call) -> Call:
        """Returns a call of the plain server, addressed to this one."""
        url = call.url.replace(f"http://{plain.grpc_address}", f"https://{self.tokend.grpc_address}")
        return replace(call, url=url, tls=self.tls)


def measure(directory: Path, rounds: int, seconds: float) -> Rounds:
    """Loads both servers in turn, on the servers' core."""
    generator = Generator(build(directory), directory, known_users=USERS)
    with _servers(directory, generator) as (plain, unchecked, checked):
        calls = {algorithm: plain.call(algorithm, plain.answer(algorithm)) for algorithm in serve_tokend.POOLS}

        def sample(server: _Server, algorithm: str, seconds: float) -> Sample:
            return generator.sample(server.call(plain, calls[algorithm]), server.tokend.pid, seconds)

        for algorithm in calls:
            for server in (unchecked, checked):
                sample(server, algorithm, WARM_UP_SECONDS)
        return {
            algorithm: [
                (sample(unchecked, algorithm, seconds / TURNS), sample(checked, algorithm, seconds / TURNS))
                for _ in range(rounds * TURNS)
            ]
            for algorithm in calls
        }


def table(rounds: Rounds) -> str:
    """Formats both servers, and in each turn one relative to the other, as a Markdown table."""
    lines = [
        "| over TLS, known users | without checks, µs CPU/call | with all checks, µs CPU/call | ratio |",
        "|---|---:|---:|---:|",
    ]
    for algorithm, pairs in rounds.items():
        cpu = [(without.server_cpu_microseconds, checked.server_cpu_microseconds) for without, checked in pairs]
        without, checked = (median(values) for values in zip(*cpu, strict=True))
        ratio = median(b / a for a, b in cpu)
        lines.append(f"| {algorithm} | {without:,.0f} | {checked:,.0f} | {ratio:.2f} |")
    return "\n".join(lines)


@contextmanager
def _servers(directory: Path, generator: Generator) -> Iterator[tuple[serve_tokend.Tokend, _Server, _Server]]:
    """Starts a server without TLS, one with TLS only, and one with all checks, on one database."""
    cores = Cores.available()
    url = fill_sqlite(directory / "checks.db", known_users(serve_tokend.POOLS.values(), generator.known_users))
    files = write_files(directory)
    tls = tls_settings(files)
    with ExitStack() as stack:
        plain, unchecked, checked = (
            stack.enter_context(
                serve_tokend.serving(directory, cores, url, name=name, grpc_settings=settings, tables=tables)
            )
            for name, settings, tables in (
                ("plain", "", ""),
                ("unchecked", tls, ""),
                ("checked", f"{tls}{mutual_settings(files)}", tables_of_checks(directory)),
            )
        )
        trust = [f"-ca={files['ca.crt']}"]
        shown = [f"-certificate={files['client.crt']}", f"-key={files['client.key']}"]
        yield plain, _Server(unchecked, trust), _Server(checked, [*trust, *shown])


def tls_settings(files: Mapping[str, Path]) -> str:
    """Returns the TLS settings of [grpc]."""
    return f'tls_certificate_file = "{files["server.crt"]}"\ntls_private_key_file = "{files["server.key"]}"\n'


def mutual_settings(files: Mapping[str, Path]) -> str:
    """Returns the additional settings of mutual TLS."""
    return f'tls_client_ca_file = "{files["ca.crt"]}"\nidentify_by = ["mutual_tls"]\n'


def write_files(directory: Path) -> Mapping[str, Path]:
    """Writes the certificates and keys of an authority, a server on loopback and a client that the policy allows."""
    authority = Authority("bench")
    server, client = authority.server("127.0.0.1"), authority.client(uris=[_CALLER])
    contents = {
        "ca.crt": authority.certificate,
        "server.crt": server.certificate,
        "server.key": server.private_key,
        "client.crt": client.certificate,
        "client.key": client.private_key,
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return {name: directory / name for name in contents}


def tables_of_checks(directory: Path, pools: Iterable[str] = tuple(serve_tokend.POOLS.values())) -> str:
    """Returns a policy, limits above the load, and an audit log that must be written."""
    return f"""
        [policy.bench]
        callers = ["spiffe://bench.example.test/ns/bench/sa/*"]
        pools = [{", ".join(f'"{pool}"' for pool in pools)}]
        operations = ["GetOpenIdTokenForDeveloperIdentity"]
        principal_tag_keys = ["tenant"]
        [limits]
        calls_per_second = 1_000_000
        calls_burst = 1_000_000
        [audit]
        destination = "file:{directory}/audit.log"
        required = true
        """

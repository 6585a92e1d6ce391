"""tokend compared with other servers that issue tokens, in one run: `python -m tests.bench --peers`."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench import serve_floor, serve_moto, serve_tokend, spire
from tests.bench.fill import fill_sqlite, known_users
from tests.bench.generator import Call, Generator, Sample, build
from tests.bench.processes import Cores
from tests.bench.report import ratio, table_of

USERS = 100_000
WARM_UP_SECONDS = 2.0

#: The calls of each server.
CASES = {
    "tokend RS512": "tokend, RS512: a known user, from SQLite",
    "floor RS512": "floor: grpcio and one RSA-2048 SHA-512 signature",
    "spire RS256": f"SPIRE {spire.VERSION}, RS256: `MintJWTSVID`, no store",
    "tokend ES256": "tokend, ES256: a known user, from SQLite",
    "floor ES256": "floor: grpcio and one P-256 SHA-256 signature",
    "spire ES256": f"SPIRE {spire.VERSION}, ES256: `MintJWTSVID`, no store",
    "moto": "moto's server: no signature, no store",
}

#: To which case each is compared.
COMPARED = {
    "tokend RS512": "spire RS256",
    "tokend ES256": "spire ES256",
    "moto": "tokend RS512",
}


def measure(directory: Path, rounds: int, seconds: float) -> Mapping[str, Sequence[Sample]]:
    """Starts all servers on one core, and loads them in turns.

    Raises:
        RuntimeError: A peer cannot be built or started, or a call failed.
    """
    program, cores = spire.build(), Cores.available()
    generator = Generator(build(directory), directory, known_users=USERS)
    url = fill_sqlite(directory / "tokend.db", known_users(serve_tokend.POOLS.values(), USERS))
    with ExitStack() as stack:
        tokend = stack.enter_context(serve_tokend.serving(directory, cores, url))
        targets: dict[str, tuple[int, Call]] = {"moto": stack.enter_context(serve_moto.serving(directory, cores))}
        for algorithm in serve_tokend.POOLS:
            answer = tokend.answer(algorithm)
            call = tokend.call(algorithm, answer)
            floor = serve_floor.serving(directory, cores, algorithm, call, answer)
            targets[f"tokend {algorithm}"] = (tokend.pid, call)
            targets[f"floor {algorithm}"] = stack.enter_context(floor)
        for algorithm in spire.KEY_TYPES:
            served = spire.serving(directory, cores, program, algorithm)
            targets[f"spire {algorithm}"] = stack.enter_context(served)
        samples: dict[str, list[Sample]] = {case: [] for case in CASES}
        for server, call in targets.values():
            generator.sample(call, server, WARM_UP_SECONDS)
        for _ in range(rounds):
            for case, of_case in samples.items():
                server, call = targets[case]
                of_case.append(generator.sample(call, server, seconds))
    return samples


def table(samples: Mapping[str, Sequence[Sample]]) -> str:
    """Formats all cases, and their ratios in the same round, as Markdown tables."""
    lines = [table_of(samples, CASES), "", "| CPU of a call | to | |", "|---|---|---:|"]
    for case, other in COMPARED.items():
        to_other = ratio(samples, case, other, lambda sample: sample.server_cpu_microseconds)
        lines.append(f"| {case} | {other} | {to_other:.2f} |")
    return "\n".join(lines)

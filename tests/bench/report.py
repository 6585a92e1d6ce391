"""The table of results: medians over the rounds, and ratios taken in each round before their median."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from tests.bench.generator import Sample

#: The samples of each case, one a round.
Samples = Mapping[str, Sequence[Sample]]

CASES = {
    "tokend RS512": "tokend, RS512, known users",
    "floor RS512": "floor: grpcio and one RSA-2048 SHA-512 signature",
    "tokend ES256": "tokend, ES256, known users",
    "floor ES256": "floor: grpcio and one P-256 SHA-256 signature",
    "tokend RS512 new": "tokend, RS512, new users (one durable write a call)",
    "moto": "moto's server (HTTP/1.1, no signature)",
}


def table(samples: Samples) -> str:
    """Formats the cases as a Markdown table."""
    return table_of(samples, CASES)


def table_of(samples: Samples, labels: Mapping[str, str]) -> str:
    """Formats some cases with their labels as a Markdown table."""
    lines = [
        "| case | server CPU, µs/call | calls/s | p50, ms | p99, ms |",
        "|---|---:|---:|---:|---:|",
        *(_row(label, samples[case]) for case, label in labels.items()),
    ]
    return "\n".join(lines)


def _row(label: str, rounds: Sequence[Sample]) -> str:
    cpu = median(sample.server_cpu_microseconds for sample in rounds)
    rate = median(sample.calls_per_second for sample in rounds)
    p50 = median(sample.p50_milliseconds for sample in rounds)
    p99 = median(sample.p99_milliseconds for sample in rounds)
    return f"| {label} | {cpu:,.0f} | {rate:,.0f} | {p50:.1f} | {p99:.1f} |"


def ratio(samples: Samples, case: str, other: str, value: Callable[[Sample], float]) -> float:
    """Returns the median over the rounds of one case's value relative to another's in the same round."""
    return median(value(a) / value(b) for a, b in zip(samples[case], samples[other], strict=True))


def ratios(samples: Samples) -> str:
    """Formats the summary of the table as a Markdown table."""

    def cpu(sample: Sample) -> float:
        return sample.server_cpu_microseconds

    def rate(sample: Sample) -> float:
        return sample.calls_per_second

    rows = {
        "CPU of tokend to its floor, RS512": ratio(samples, "tokend RS512", "floor RS512", cpu),
        "CPU of tokend to its floor, ES256": ratio(samples, "tokend ES256", "floor ES256", cpu),
        "CPU of new users to known users, RS512": ratio(samples, "tokend RS512 new", "tokend RS512", cpu),
        "calls/s of tokend RS512 to moto's": ratio(samples, "tokend RS512", "moto", rate),
    }
    return "\n".join(["| ratio | |", "|---|---:|", *(f"| {label} | {value:.2f} |" for label, value in rows.items())])

from tests.bench import alternatives
from tests.bench.generator import Sample
from tests.bench.report import CASES, ratio, ratios, table


def sample(*, cpu: float = 100.0, rate: float = 1000.0) -> Sample:
    return Sample(
        calls=10,
        calls_per_second=rate,
        server_cpu_microseconds=cpu,
        p50_milliseconds=1.0,
        p99_milliseconds=2.0,
        load_cpu_share=0.1,
    )


def cpu(of: Sample) -> float:
    return of.server_cpu_microseconds


def test_a_ratio_is_taken_within_each_round() -> None:
    # The machine was three times slower in the second round and ten times in the third: for both cases alike.
    samples = {
        "a": [sample(cpu=150), sample(cpu=450), sample(cpu=1500)],
        "b": [sample(cpu=100), sample(cpu=300), sample(cpu=1000)],
    }
    assert ratio(samples, "a", "b", cpu) == 1.5


def test_a_case_shows_its_medians() -> None:
    samples = {case: [sample(cpu=900), sample(cpu=1234), sample(cpu=8000)] for case in CASES}
    assert "| tokend, RS512, known users | 1,234 | 1,000 | 1.0 | 2.0 |" in table(samples).splitlines()


def test_the_ratios_compare_cpu_with_the_floor_and_rate_with_moto() -> None:
    samples = {case: [sample()] for case in CASES}
    samples["tokend RS512"] = [sample(cpu=130, rate=4000)]
    samples["tokend ES256"] = [sample(cpu=170)]
    values = [line.split("|")[2].strip() for line in ratios(samples).splitlines()[2:]]
    assert values == ["1.30", "1.70", "4.00"]


def test_alternatives_are_compared_with_the_first() -> None:
    samples = {"chosen": [sample(cpu=100), sample(cpu=300)], "other": [sample(cpu=150), sample(cpu=450)]}
    assert alternatives.table(samples).splitlines()[2:] == ["| chosen | 200 | 1.00 |", "| other | 300 | 1.50 |"]

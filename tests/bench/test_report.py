from dataclasses import replace

from tests.bench import alternatives, growth, half_load, replicas, stores
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
    samples["tokend RS512 new"] = [sample(cpu=247)]
    samples["tokend ES256"] = [sample(cpu=170)]
    values = [line.split("|")[2].strip() for line in ratios(samples).splitlines()[2:]]
    assert values == ["1.30", "1.70", "1.90", "4.00"]


def test_p99_is_compared_with_p50_in_each_round() -> None:
    samples = [replace(sample(rate=rate), p50_milliseconds=p50) for rate, p50 in ((500, 0.5), (700, 1.0), (900, 2.0))]
    assert half_load.table({"ES256": samples}).splitlines()[2:] == ["| ES256 | 700 | 1.0 | 2.0 | 2.0 |"]


def test_alternatives_are_compared_with_the_first() -> None:
    samples = {"chosen": [sample(cpu=100), sample(cpu=300)], "other": [sample(cpu=150), sample(cpu=450)]}
    assert alternatives.table(samples).splitlines()[2:] == ["| chosen | 200 | 1.00 |", "| other | 300 | 1.50 |"]


def turn(*, cpu: float = 100.0, store: float = 0.0, rate: float = 1000.0) -> stores.Turn:
    return stores.Turn(sample(cpu=cpu, rate=rate), store)


def test_stores_are_compared_with_the_first_in_each_turn() -> None:
    turns = {
        "known": {
            "SQLite": [turn(cpu=100), turn(cpu=300)],
            "PostgreSQL": [turn(cpu=150, store=40, rate=500), turn(cpu=330, store=60, rate=700)],
        }
    }
    assert stores.table(turns).splitlines()[2:] == [
        "| SQLite, known | 200 | 1.00 | in tokend | 1,000 |",
        "| PostgreSQL, known | 240 | 1.30 | 50 | 600 |",
    ]


def test_two_servers_are_compared_with_one_in_each_turn() -> None:
    turns = {
        1: [replicas.Turn(100, 50, 1000, 1.0), replicas.Turn(200, 60, 500, 1.2)],
        2: [replicas.Turn(110, 50, 1500, 1.9), replicas.Turn(240, 70, 800, 2.0)],
    }
    assert replicas.table(turns).splitlines()[2:] == [
        "| one server | 150 | 1.00 | 55 | 750 | 1.00 | 1.10 |",
        "| two servers, on two cores | 175 | 1.15 | 60 | 1,150 | 1.55 | 1.95 |",
    ]


def test_sizes_are_compared_with_the_first_of_their_store_in_each_turn() -> None:
    sizes = [
        growth.Size("SQLite", 1000, 500_000, [turn(cpu=100), turn(cpu=200)]),
        growth.Size("SQLite", 10_000_000, 5_000_000_000, [turn(cpu=110), turn(cpu=220)]),
        growth.Size("PostgreSQL", 1000, 8_000_000, [turn(cpu=120, store=30), turn(cpu=240, store=30)]),
    ]
    assert growth.table(sizes).splitlines()[2:] == [
        "| SQLite | 1,000 | 150 | 1.00 | in tokend | 0.5 |",
        "| SQLite | 10,000,000 | 165 | 1.10 | in tokend | 5,000.0 |",
        "| PostgreSQL | 1,000 | 180 | 1.00 | 30 | 8.0 |",
    ]

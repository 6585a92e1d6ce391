"""`python -m tests.linearizability --rounds N`: runs many rounds, and prints those that are not linearizable."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from tests.linearizability.rounds import unexplained


@click.command()
@click.option("--rounds", default=1000, show_default=True, help="How many rounds.")
@click.option("--store", "url", help="The URL of a store that is empty; default a SQLite database.")
@click.option("--processes", default=2, show_default=True, help="How many processes.")
@click.option("--seed", default=0, show_default=True, help="The seed of the first; each has the next.")
def main(rounds: int, seed: int, url: str | None, processes: int) -> None:
    """Runs rounds of concurrent calls through several processes; returns 1 if one is not linearizable."""
    found = 0
    with TemporaryDirectory() as directory:
        store = url or f"sqlite:///{Path(directory) / 'tokend.db'}"
        for number, history in unexplained(store, range(seed, seed + rounds), processes):
            found += 1
            click.echo("\n".join([f"seed {number}:", *map(str, history)]))
    click.echo(f"rounds: {rounds}, not explained: {found}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()

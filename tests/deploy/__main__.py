"""`uv run poe dashboard`: runs the dashboard's queries on a real Prometheus that scrapes a tokend under load."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.deploy.watched import dashboard_queries, watched_service


def main() -> None:
    """Prints each panel of the dashboard with its series, and their values."""
    with TemporaryDirectory() as directory, watched_service(Path(directory)) as prometheus:
        for panel, expression in dashboard_queries():
            print(f"{panel}\n    {expression}")  # noqa: T201 - the report
            for series in prometheus.ask(expression):
                labels = ", ".join(f"{name}={value}" for name, value in series["metric"].items())
                print(f"        {series['value'][1]:>24}  {labels}")  # noqa: T201 - the report
        for problem in prometheus.failing_rules():
            print(problem)  # noqa: T201 - the report


if __name__ == "__main__":
    main()

"""The order of test files, and their assignment to the workers of pytest-xdist."""

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

#: Files that take minutes, then files that mostly wait: started first, so that no worker ends with them alone.
_LONG = (
    "tests/clients/test_java.py",
    "tests/clients/test_consumers.py",
    "tests/key_rotations/",
    "tests/clients/test_go.py",
    "tests/clients/test_go_module.py",
    "tests/envoy/test_sidecar.py",
    "tests/contracts/test_dynamodb_store.py",
    "tests/attacks/test_attacks.py",
    "tests/aws_sdks/",
    "tests/clients/",
    "tests/deploy/",
    "tests/e2e/",
    "tests/tracing/",
    "tests/stores/",
    "tests/web/",
    "tests/unit/engines/local/keys/",
    "tests/unit/test_request_key.py",
    "tests/verifiers/",
)

#: Files that build in one directory, or one program, by the name of the build: run concurrently, they would only wait.
_BUILDS = {
    "tests/clients/test_java.py": "java",
    "tests/clients/test_consumers.py": "java",
    "tests/contracts/test_dynamodb_store.py": "dynoxide",
    "tests/dynamodb/test_commits.py": "dynoxide",
    "tests/dynamodb/test_concurrency.py": "dynoxide",
    "tests/dynamodb/test_costs.py": "dynoxide",
    "tests/dynamodb/test_running_more_than_one.py": "dynoxide",
    "tests/dynamodb/test_schema.py": "dynoxide",
}


class FilesByBuild(LoadFileScheduling):  # type: ignore[misc] # the library has no types
    """Assigns whole files to workers, and all files with the same build to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return _BUILDS.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> FilesByBuild:
    return FilesByBuild(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((i for i, long in enumerate(_LONG) if item.nodeid.startswith(long)), len(_LONG)))

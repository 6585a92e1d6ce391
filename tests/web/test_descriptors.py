"""A process without free descriptors: HTTP listeners continue without log noise; too high limits cause a warning."""

import resource
import subprocess
import sys
from pathlib import Path

from tests.support.forked import run_forked
from tests.web import without_descriptors

from tokend_server.config import Config
from tokend_server.process import descriptors


def test_probes_are_answered_and_the_log_is_quiet(tmp_path: Path) -> None:
    run_forked(without_descriptors.__name__, [], tmp_path)


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    program = (
        "import resource; from tokend_server.process import descriptors; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128)); print(descriptors.raise_limit())"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) == 128


def test_connection_limits_above_the_descriptor_limit_cause_a_warning() -> None:
    config = Config.model_validate({"grpc": {"listen": ["127.0.0.1:0", "127.0.0.1:0"], "max_connections": 5000}})
    most = descriptors.needed(config)
    assert most > 10_000
    assert descriptors.warning(config, most) is None
    assert descriptors.warning(config, resource.RLIM_INFINITY) is None
    warning = descriptors.warning(config, most - 1)
    assert warning
    assert warning.startswith("grpc.max_connections: ")
    assert str(most - 1) in warning


def test_sds_connections_count_toward_the_needed_descriptors() -> None:
    sds = {"listen": ["127.0.0.1:0"], "key_set": "keys", "max_connections": 5000}
    config = Config.model_validate({"sds": sds})
    most = descriptors.needed(config)
    assert most - descriptors.needed(Config()) >= 5000
    warning = descriptors.warning(config, most - 1)
    assert warning
    assert warning.startswith("grpc.max_connections and sds.max_connections: with 2 listeners")

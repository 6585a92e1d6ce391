"""A process without free descriptors: HTTP listeners continue without log noise; too high limits cause a warning."""

import logging
import resource
import subprocess
import sys

import httpx
import pytest
from tests.support.descriptors import no_descriptors_left

from tokend_server.config import Config
from tokend_server.process import descriptors
from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.message import plain_text
from tokend_server.web.site import Site

ASKING = """
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for _ in sys.stdin:
    print(opener.open(sys.argv[1], timeout=30).read().decode(), flush=True)
"""


def test_probes_are_answered_and_the_log_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bound = BoundAddress("ops.listen", "127.0.0.1:0")
    listener = HttpListener(bound, Site({"/livez": lambda _request: plain_text("ok")})).start()
    url = f"http://{bound.address}/livez"
    assert httpx.get(url, trust_env=False).text == "ok"
    with subprocess.Popen(
        [sys.executable, "-c", ASKING, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as prober:
        assert prober.stdin
        assert prober.stdout
        with no_descriptors_left():
            for _ in range(2):
                prober.stdin.write("now\n")
                prober.stdin.flush()
                assert prober.stdout.readline() == "ok\n"
    records = [record for record in caplog.records if record.name != "httpx"]
    assert [record.getMessage() for record in records] == ["connections cannot be accepted"]
    assert not any(record.exc_info for record in records)
    assert httpx.get(url, trust_env=False).text == "ok"
    listener.stop()


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    program = (
        "import resource; from tokend_server.process import descriptors; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128)); print(descriptors.raise_limit())"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) == 128


def test_limits_that_do_not_fit_are_warned_of() -> None:
    config = Config.model_validate({"grpc": {"listen": ["127.0.0.1:0", "127.0.0.1:0"], "max_connections": 5000}})
    most = descriptors.needed(config)
    assert most > 10_000
    assert descriptors.warning(config, most) is None
    assert descriptors.warning(config, resource.RLIM_INFINITY) is None
    warning = descriptors.warning(config, most - 1)
    assert warning
    assert warning.startswith("grpc.max_connections: ")
    assert str(most - 1) in warning


def test_streams_of_secrets_count_too() -> None:
    sds = {"listen": ["127.0.0.1:0"], "key_set": "keys", "max_connections": 5000}
    config = Config.model_validate({"sds": sds})
    most = descriptors.needed(config)
    assert most - descriptors.needed(Config()) >= 5000
    warning = descriptors.warning(config, most - 1)
    assert warning
    assert warning.startswith("grpc.max_connections and sds.max_connections: with 2 listeners")

"""An HTTP listener in a process without free descriptors, in which no other thread takes one that becomes free."""

import logging
import subprocess
import sys

import httpx
from tests.support.descriptors import no_descriptors_left

from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.message import plain_text
from tokend_server.web.site import Site

PROBER = """
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for _ in sys.stdin:
    print(opener.open(sys.argv[1], timeout=30).read().decode(), flush=True)
"""


class _Records(logging.Handler):
    """Collects the log records of the listener."""

    def __init__(self) -> None:
        super().__init__()
        self.collected: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] not in {"httpx", "httpcore"}:
            self.collected.append(record)


def probes_are_answered_and_the_log_is_quiet() -> None:
    records = _Records()
    logging.basicConfig(level=logging.INFO, handlers=[records])
    bound = BoundAddress("ops.listen", "127.0.0.1:0")
    listener = HttpListener(bound, Site({"/livez": lambda _request: plain_text("ok")})).start()
    url = f"http://{bound.address}/livez"
    assert httpx.get(url, trust_env=False).text == "ok"
    with subprocess.Popen(
        [sys.executable, "-c", PROBER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as prober:
        assert prober.stdin
        assert prober.stdout
        with no_descriptors_left():
            for _ in range(2):
                prober.stdin.write("now\n")
                prober.stdin.flush()
                assert prober.stdout.readline() == "ok\n"
    assert [record.getMessage() for record in records.collected] == ["connections cannot be accepted"]
    assert not any(record.exc_info for record in records.collected)
    assert httpx.get(url, trust_env=False).text == "ok"
    listener.stop()


if __name__ == "__main__":
    probes_are_answered_and_the_log_is_quiet()

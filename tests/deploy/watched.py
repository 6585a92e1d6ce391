"""A tokend under load with a real Prometheus that scrapes it, and the queries of the dashboard."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
from tests.fakes.cognito_script import AwsFailure
from tests.fakes.cognito_upstream import ACCESS_KEY, CognitoUpstream
from tests.support.certificates import write_certificate
from tests.support.ports import free_port
from tests.support.prometheus import program
from tests.support.replacing import replaced
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityRequest
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

DEPLOY = Path(__file__).parents[2] / "server" / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "tokend.json").read_text("utf-8"))

COGNITO_POOL = "us-east-1:0a1b2c3d-0000-4000-8000-00000000000c"

#: The results of the queries of the dashboard's variables.
_FOUND = {"job": "tokend"}

#: Grafana's values of its variables if All is selected: their value for it, otherwise all query results.
_VARIABLES = {"$__rate_interval": "1m", "$__range": "1m"} | {
    f"${each['name']}": each.get("allValue") or _FOUND[each["name"]]
    for each in DASHBOARD["templating"]["list"]
    if each["type"] == "query"
}

_TIMEOUT = 60


class Query(NamedTuple):
    """One expression of the dashboard, and the panel that shows it."""

    panel: str
    expression: str


def dashboard_queries() -> list[Query]:
    """Returns all expressions of the dashboard, as Grafana would send them."""
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    return [Query(panel["title"], as_sent(target["expr"])) for panel in panels for target in panel["targets"]]


def as_sent(expression: str) -> str:
    return replaced(expression, _VARIABLES)


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str, http: httpx.Client) -> None:
        self._url = url
        self._http = http

    def wait_for(self, expression: str) -> None:
        """Waits until an expression has a value."""
        until = time.monotonic() + _TIMEOUT
        while not self._answers() or not self.ask(expression):
            assert time.monotonic() < until, expression
            time.sleep(0.1)

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Returns the current value of an expression: each series with its value."""
        answer = self._http.get(f"{self._url}/api/v1/query", params={"query": expression})
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        result = answer.json()["data"]["result"]
        return result if isinstance(result, list) else [result]

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """Returns the exemplars of the last minutes."""
        times = {"start": time.time() - 600, "end": time.time() + 60}
        answer = self._http.get(f"{self._url}/api/v1/query_exemplars", params={"query": expression, **times})
        return [each for series in answer.json()["data"] for each in series["exemplars"]]

    def failing_rules(self) -> list[str]:
        """Returns the rules that cannot be evaluated, with their errors."""
        groups = self._http.get(f"{self._url}/api/v1/rules").json()["data"]["groups"]
        return [
            f"{rule['name']}: {rule['lastError']}"
            for each in groups
            for rule in each["rules"]
            if rule["health"] == "err"
        ]

    def _answers(self) -> bool:
        try:
            return self._http.get(f"{self._url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def watched_service(directory: Path) -> Iterator[Prometheus]:
    """Serves a local pool and one in Cognito, after some calls that succeed and some that fail."""
    certificate = write_certificate(directory)
    tls = f"""
tls_certificate_file = "{certificate.certificate_file}"
tls_private_key_file = "{certificate.private_key_file}"
"""
    with CognitoUpstream() as upstream:
        pools = f"""
[pools."{COGNITO_POOL}"]
engine = "cognito"
developer_provider_name = "{DEVELOPER_PROVIDER}"
[cognito]
endpoint_url = "{upstream.url}"
requests_per_second = 1000
burst = 1000
[ext_authz.mappings.web]
identity_pool_id = "{POOL_ID}"
user = {{ metadata = "payload.sub" }}
"""
        credentials = {name.upper(): value for name, value in ACCESS_KEY._asdict().items() if value}
        with ServerProcess(write_config(directory, pools, tls), {**credentials, **_NO_AWS}) as server:
            upstream.script([AwsFailure("InternalErrorException", status=500)])
            with _prometheus(directory, server.ops.removeprefix("http://")) as prometheus:
                prometheus.wait_for('count_over_time(tokend_ready{job="tokend"}[1m]) >= 1')
                authority = certificate.certificate_file.read_bytes()
                _load(server.endpoint, authority)
                # A series begins with its first event, and has an increase from the second one on.
                prometheus.wait_for("count(tokend_tokens_issued_total > 0) == 2")
                _load(server.endpoint, authority)
                prometheus.wait_for("count(increase(tokend_tokens_issued_total[1m]) > 0) == 2")
                prometheus.wait_for('count_over_time(job:tokend_failed_calls:ratio_rate5m{job="tokend"}[1m]) >= 1')
                yield prometheus


_NO_AWS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def _load(endpoint: str, authority: bytes) -> None:
    with grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(authority)) as channel:
        get = DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity
        for number, pool in enumerate([POOL_ID, COGNITO_POOL, "us-east-1:0a1b2c3d-0000-4000-8000-0000000000ff"] * 20):
            logins = {DEVELOPER_PROVIDER if number % 5 else "login.other": f"user-{number}"}
            request = GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=pool, logins=logins)
            traceparent = f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01"
            get.future(request, timeout=30, metadata=(("traceparent", traceparent),)).exception()


@contextmanager
def _prometheus(directory: Path, target: str) -> Iterator[Prometheus]:
    address = f"127.0.0.1:{free_port()}"
    config = directory / "prometheus.yaml"
    config.write_text(
        f"""
global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}
rule_files: ["{DEPLOY / "prometheus" / "alerts.yaml"}"]
scrape_configs:
  - job_name: tokend
    static_configs: [{{targets: ["{target}"]}}]
  - job_name: prometheus
    static_configs: [{{targets: ["{address}"]}}]
""",
        encoding="utf-8",
    )
    command: Sequence[str] = [
        str(program("prometheus")),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory)
    try:
        with httpx.Client(trust_env=False) as http:
            yield Prometheus(f"http://{address}", http)
    finally:
        process.terminate()
        process.wait(_TIMEOUT)

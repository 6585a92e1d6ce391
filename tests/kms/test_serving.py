"""Servers that sign with keys in KMS."""

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import jwt
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry
from tests.fakes.cognito_script import Hang, Success
from tests.fakes.kms_upstream import KmsUpstream, failure
from tests.support.grpc_service import TIMEOUT
from tests.support.kms import REGION, boto3_client, config_of, kms_keys
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config
from tests.support.tokend import run
from tests.support.waiting import wait_until

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.clock import SystemClock
from tokend_server.config import Pool
from tokend_server.engines.local.build import build_local_engines
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.rotation import KeyRotation
from tokend_server.engines.local.stores.opening import open_store
from tokend_server.metrics import Metrics


def settings(upstream: KmsUpstream, signer: str = "aws-kms") -> dict[str, str]:
    return {
        "TOKEND_KEYS_SIGNER": signer,
        "TOKEND_KEYS_KMS_REGION": REGION,
        "TOKEND_KEYS_KMS_ENDPOINT_URL": upstream.url,
        "TOKEND_KEYS_KMS_MAX_ATTEMPTS": "1",
    }


def issue(server: ServerProcess, user: str = "alice", timeout: float = TIMEOUT) -> str:
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=POOL_ID, logins={DEVELOPER_PROVIDER: user})
    with grpc.insecure_channel(server.endpoint) as channel:
        stub = DeveloperIdentityServiceStub(channel)
        return stub.GetOpenIdTokenForDeveloperIdentity(request, timeout=timeout).token


def refusal(server: ServerProcess, timeout: float = TIMEOUT) -> tuple[grpc.StatusCode, str]:
    """Returns the code and the reason of a failed call; at its deadline there is no reason, on either side."""
    with pytest.raises(grpc.RpcError) as raised:
        issue(server, timeout=timeout)
    info, status = ErrorInfo(), rpc_status.from_call(cast("grpc.Call", raised.value))
    if status and status.details:
        status.details[0].Unpack(info)
    return raised.value.code(), info.reason


def published(server: ServerProcess) -> list[str]:
    keys = httpx.get(f"{server.issuer}/.well-known/jwks.json", trust_env=False, verify=False).json()["keys"]
    return [key["kid"] for key in keys]


def signer_of(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


def verify(token: str, server: ServerProcess) -> None:
    keys = jwt.PyJWKSet.from_dict(
        httpx.get(f"{server.issuer}/.well-known/jwks.json", trust_env=False, verify=False).json()
    )
    jwt.decode(token, keys[signer_of(token)], algorithms=["ES256"], audience=POOL_ID)


def add(config: Path, environment: Mapping[str, str], *words: str) -> dict[str, Any]:
    ended = run("keys", "add", "ES256", "--signs-in", "0", "--config", str(config), *words, **environment)
    assert (ended.stderr, ended.returncode) == ("", 0)
    added: dict[str, Any] = json.loads(ended.stdout)
    return added


def test_signing_moves_from_the_store_to_kms_and_back(upstream: KmsUpstream, tmp_path: Path) -> None:
    config, in_store, in_kms = write_config(tmp_path), settings(upstream, "store"), settings(upstream)
    with ServerProcess(config, in_store) as first, ServerProcess(config, in_kms) as second:
        servers = (first, second)
        tokens, kids = [issue(first)], published(first)
        for environment, words in ((in_kms, ()), (in_store, ()), (in_store, ("--kms-key", given_key(upstream)))):
            kids.append(add(config, environment, *words)["KeyId"])
            wait_until(lambda: all(signer_of(issue(server)) == kids[-1] for server in servers))
            tokens += [issue(server) for server in servers]
        assert [published(server) for server in servers] == [kids, kids]
        for server in servers:
            for token in tokens:
                verify(token, server)
    listed = json.loads(run("keys", "list", "--config", str(config)).stdout)["Keys"]
    assert [key["KeyId"] for key in listed] == kids
    assert ["KmsKey" in key for key in listed] == [False, True, False, True]
    assert {key["KmsKey"] for key in listed if "KmsKey" in key} <= upstream.keys().keys()


def given_key(upstream: KmsUpstream) -> str:
    arn: str = boto3_client(upstream).create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    return arn


def test_servers_that_start_together_leave_one_key(upstream: KmsUpstream, tmp_path: Path) -> None:
    config, before = write_config(tmp_path), upstream.keys().keys()
    assert run("migrate", "--config", str(config)).returncode == 0
    with ExitStack() as undo, ThreadPoolExecutor(3) as threads:
        servers = list(threads.map(lambda _: ServerProcess(config, settings(upstream)), range(3)))
        for server in servers:
            undo.enter_context(server)
        (kid,) = published(servers[0])
        assert {signer_of(issue(server)) for server in servers} == {kid}
        states = [key.key_state for arn, key in upstream.keys().items() if arn not in before]
        assert sorted(states) == ["Enabled"] + ["PendingDeletion"] * (len(states) - 1)


def test_failures_of_kms_reach_callers_and_operators(upstream: KmsUpstream, tmp_path: Path) -> None:
    with ServerProcess(write_config(tmp_path), settings(upstream)) as server:
        issue(server)
        for code, expected in (
            ("ThrottlingException", (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")),
            ("KMSInternalException", (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")),
        ):
            upstream.always(failure(code))
            assert refusal(server) == expected
            assert httpx.get(f"{server.ops}/readyz", trust_env=False, verify=False).status_code == 200
        upstream.always(Hang())
        assert refusal(server, timeout=0.5)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        upstream.always(failure("AccessDeniedException"))
        assert refusal(server) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_CREDENTIALS_REJECTED")
        probe = httpx.get(f"{server.ops}/readyz", trust_env=False, verify=False)
        assert probe.status_code == 503
        assert "The IAM policy of the credentials lacks the action" in probe.text
        metrics = httpx.get(f"{server.ops}/metrics", trust_env=False, verify=False).text
        labels = f'code="AccessDeniedException",operation="Sign",region="{REGION}"'
        assert f"tokend_kms_request_failures_total{{{labels}}} 1.0" in metrics


def test_calls_without_signatures_succeed_while_kms_hangs(upstream: KmsUpstream, tmp_path: Path) -> None:
    environment = settings(upstream) | {"TOKEND_GRPC_THREADS": "4", "TOKEND_KEYS_KMS_TIMEOUT_SECONDS": "60"}
    with ServerProcess(write_config(tmp_path), environment) as server, ThreadPoolExecutor(3) as threads:
        issue(server)
        upstream.always(Hang(then=Success()))
        calls = [threads.submit(issue, server) for _ in range(3)]
        upstream.wait_for_held(3)
        assert refusal(server) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")
        with grpc.insecure_channel(server.endpoint) as channel:
            request = pb.LookupDeveloperIdentityRequest(identity_pool_id=POOL_ID, developer_user_identifier="alice")
            assert DeveloperIdentityServiceStub(channel).LookupDeveloperIdentity(request, timeout=TIMEOUT).identity_id
        upstream.always(Success())
        upstream.release()
        assert len({signer_of(call.result()) for call in calls}) == 1


def test_an_unusable_next_key_is_reported_before_it_signs(upstream: KmsUpstream, tmp_path: Path) -> None:
    config = config_of(upstream, max_attempts=1).model_copy(update={"data_dir": tmp_path})
    pools, metrics = (
        {POOL_ID: Pool(developer_provider_name="p", signing_algorithm="ES256")},
        Metrics(CollectorRegistry()),
    )
    with (
        closing(
            build_local_engines(config, pools, "https://a.example", metrics, SystemClock(), lambda _: nullcontext())
        ) as engines,
        kms_keys(upstream) as keys,
        closing(open_store(config)) as store,
    ):
        rotation = KeyRotation(store, keys, SystemClock(), config.keys.times)
        good, bad = (rotation.add(SigningAlgorithm.ES256, signs_in=3600) for _ in range(2))
        boto3_client(upstream).disable_key(KeyId=json.loads(bad.material.reveal())["key_arn"])
        engines.signer.refresh()
        (line,) = engines.backend.check()
    assert good.kid not in line
    assert f"keys: {bad.kid}, which is the next ES256 key, could not sign: AWS KMS refuses the use" in line


def test_an_unusable_given_key_is_rejected_with_an_explanation(upstream: KmsUpstream, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    made = boto3_client(upstream).create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]
    words = ("keys", "add", "ES256", "--config", str(config), "--kms-key")
    for given, problems in (
        (made, ["its key spec is RSA_2048, and ES256 needs ECC_NIST_P256", "its key usage is ENCRYPT_DECRYPT"]),
        ("alias/none", ["AWS KMS does not have the signing key."]),
        ("tokens", ["AWS KMS does not have the signing key."]),
        ("a b", ["is neither alias/NAME, nor the ARN of a key or of an alias, nor a key id"]),
    ):
        ended = run(*words, given, **settings(upstream))
        assert ended.returncode == 1
        assert all(problem in ended.stderr for problem in problems)
    added = run(*words, given_key(upstream), **settings(upstream))
    again = run(*words, upstream.requests[-1].body["KeyId"], **settings(upstream))
    assert (added.returncode, again.returncode) == (0, 1)
    assert "The store has that key already." in again.stderr


def test_keys_remove_logs_which_key_stays_in_kms(upstream: KmsUpstream, tmp_path: Path) -> None:
    config, environment = write_config(tmp_path), settings(upstream)
    add(config, environment)
    waiting = json.loads(run("keys", "add", "ES256", "--config", str(config), **environment).stdout)
    removed = run("keys", "remove", waiting["KeyId"], "--config", str(config), **environment)
    expected = f"INFO: a signing key was removed from the store and stays in AWS KMS kms_key={waiting['KmsKey']}\n"
    assert (removed.stdout, removed.stderr, removed.returncode) == ("", expected, 0)


def test_a_server_that_needs_no_kms_does_not_load_boto3() -> None:
    command = ["import sys", "from tokend_server.engines.local.keys.build import open_key_manager"]
    command += ["from tokend_server.clock import SystemClock", "from tokend_server.config import Config"]
    command += ["from prometheus_client import CollectorRegistry", "from tokend_server.metrics import Metrics"]
    command += ["with open_key_manager(Config(), Metrics(CollectorRegistry()), SystemClock()): pass"]
    command += ["print(sorted({'boto3', 'botocore'} & sys.modules.keys()))"]
    ended = subprocess.run([sys.executable, "-c", "\n".join(command)], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"

"""A listener that others can reach requires TLS, callers and a policy, or an explicit setting of the operator."""

from pathlib import Path

from tests.access.methods import GET, call
from tests.support.grpc_service import failure, insecure_channel
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config
from tests.support.tokend import run

from tokend.v1 import developer_identity_service_pb2 as pb

#: An address that others can reach.
LISTEN = {"TOKEND_GRPC_LISTEN": "0.0.0.0:0"}

#: A policy that grants anonymous callers another operation than the one in the request.
POLICY = f"""
[policy.everybody]
callers = ["anonymous"]
pools = ["{POOL_ID}"]
operations = ["LookupDeveloperIdentity"]
"""

REQUEST = pb.GetOpenIdTokenForDeveloperIdentityRequest(
    identity_pool_id=POOL_ID, logins={DEVELOPER_PROVIDER: "insecure-alice"}
)


def test_an_insecure_listener_is_rejected_by_default(tmp_path: Path) -> None:
    ended = run("serve", "--config", str(write_config(tmp_path)), **LISTEN)
    assert ended.returncode == 1
    for missing in ("tls_certificate_file", "identify_by", "[policy.NAME]", "insecure = true"):
        assert missing in ended.stderr


def test_an_explicitly_insecure_listener_starts_with_a_warning(tmp_path: Path) -> None:
    with (
        ServerProcess(write_config(tmp_path, grpc="insecure = true"), LISTEN) as server,
        insecure_channel(server.endpoint.replace("0.0.0.0", "127.0.0.1")) as channel,
    ):
        assert call(GET, channel, REQUEST, []).token
    _in_clear, warning = (record for record in server.log if record["level"] == "WARNING")
    assert warning["message"].startswith("insecure = true: ")


def test_a_policy_applies_to_an_insecure_listener(tmp_path: Path) -> None:
    with (
        ServerProcess(write_config(tmp_path, POLICY, "insecure = true"), LISTEN) as server,
        insecure_channel(server.endpoint.replace("0.0.0.0", "127.0.0.1")) as channel,
    ):
        assert failure(lambda: call(GET, channel, REQUEST, [])).reason == "CALLER_NOT_ALLOWED"

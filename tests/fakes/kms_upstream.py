"""A proxy between tokend and moto's KMS: it adds features that moto lacks, and fails as scripted by a test."""

import base64
import http.client
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.kms.models import Key, kms_backends
from tests.fakes.cognito_script import Body
from tests.fakes.http_connections import HttpRequest
from tests.fakes.scripted_upstream import TIMEOUT, ScriptedUpstream

from tokend_server.aws_json.wire import AwsResponse, canonical_headers
from tokend_server.engine import Engine

_CONTENT_TYPE = "application/x-amz-json-1.1"

#: The maximum size of a message for Sign (API reference of Sign).
_LONGEST_MESSAGE = 4096

#: The error of Sign in each state of a key except Enabled ("Key states of AWS KMS keys", KMS developer guide).
_STATES = {"Disabled": "DisabledException", "PendingDeletion": "KMSInvalidStateException"}

_HASHES: Mapping[str, HashAlgorithm] = {
    "RSASSA_PKCS1_V1_5_SHA_512": SHA512(),
    "RSASSA_PKCS1_V1_5_SHA_256": SHA256(),
    "ECDSA_SHA_256": SHA256(),
}


class _Refused(NamedTuple):
    code: str
    status: int = 400


def failure(code: str, status: int = 400, message: str = "What went wrong.") -> Body:
    """A KMS error; the request has no effect."""
    return Body(json.dumps({"__type": code, "message": message}).encode(), status, _CONTENT_TYPE)


class KmsUpstream(ScriptedUpstream):
    """moto's KMS behind a script, with digests, dry runs, limits and key states as in the API reference.

    Args:
        endpoint_url: moto.
        region: The region of aliases and key ids.
    """

    def __init__(self, endpoint_url: str, region: str) -> None:
        super().__init__()
        self._host = urlsplit(endpoint_url).netloc
        self._region = region

    @property
    def operations(self) -> list[str]:
        """The operations that have been called so far."""
        return [request.operation for request in self.requests]

    def keys(self) -> Mapping[str, Key]:
        """The keys in moto, by their ARNs."""
        return {key.arn: key for key in kms_backends[DEFAULT_ACCOUNT_ID][self._region].keys.values()}

    def _answer(self, request: HttpRequest, engines: Mapping[str, Engine] | None) -> AwsResponse:
        del engines
        headers = canonical_headers(request.headers)
        operation = headers["x-amz-target"].rpartition(".")[2]
        asked = json.loads(request.body)
        if "KeyId" in asked and ":key/" in asked["KeyId"]:
            asked["KeyId"] = asked["KeyId"].rpartition("/")[2]  # moto does not accept ARNs everywhere
        key = kms_backends[DEFAULT_ACCOUNT_ID][self._region].keys.get(asked.get("KeyId") or "")
        if operation == "Sign" and key:
            return _signed(key, asked)
        if operation == "GetPublicKey" and key and key.key_state != "Enabled":
            return _refusal(_Refused(_STATES[key.key_state]))
        if operation in {"Decrypt", "GenerateDataKey"} and key and key.key_state != "Enabled":
            return _refusal(_Refused(_STATES[key.key_state]))
        answer = self._passed_on(request, headers, json.dumps(asked).encode())
        if operation == "Decrypt" and b"AccessDeniedException" in answer.body:  # moto's error for another key
            return _refusal(_Refused("IncorrectKeyException"))
        return answer

    def _passed_on(self, request: HttpRequest, headers: Mapping[str, str], body: bytes) -> AwsResponse:
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT)
        try:
            connection.request(request.method, request.target, body, {**headers, "content-length": str(len(body))})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return AwsResponse(answer.status, {"content-type": _CONTENT_TYPE, "x-amzn-requestid": "r-1"}, content)


def _signed(key: Key, asked: Mapping[str, Any]) -> AwsResponse:
    message, algorithm = base64.b64decode(asked["Message"]), asked["SigningAlgorithm"]
    is_digest = asked.get("MessageType") == "DIGEST"
    if refused := _refused(key, algorithm, message, is_digest=is_digest, is_dry_run=asked.get("DryRun", False)):
        return _refusal(refused)
    used = Prehashed(_HASHES[algorithm]) if is_digest else _HASHES[algorithm]
    private: Any = vars(key.private_key)["private_key"]
    form = (ECDSA(used),) if algorithm == "ECDSA_SHA_256" else (PKCS1v15(), used)
    signature = base64.b64encode(private.sign(message, *form)).decode()
    return _json({"KeyId": key.arn, "Signature": signature, "SigningAlgorithm": algorithm})


def _refused(key: Key, algorithm: str, message: bytes, *, is_digest: bool, is_dry_run: bool) -> _Refused | None:
    if key.key_state != "Enabled":
        return _Refused(_STATES[key.key_state])
    if key.key_usage != "SIGN_VERIFY" or algorithm not in key.signing_algorithms:
        return _Refused("InvalidKeyUsageException")
    fits = len(message) == _HASHES[algorithm].digest_size if is_digest else 0 < len(message) <= _LONGEST_MESSAGE
    if not fits:
        return _Refused("ValidationException")
    return _Refused("DryRunOperationException", 412) if is_dry_run else None


def _refusal(refused: _Refused) -> AwsResponse:
    return _json({"__type": refused.code, "message": "What went wrong."}, refused.status)


def _json(members: Mapping[str, object], status: int = 200) -> AwsResponse:
    headers = {"content-type": _CONTENT_TYPE, "x-amzn-requestid": "r-1"}
    return AwsResponse(status, headers, json.dumps(members).encode())

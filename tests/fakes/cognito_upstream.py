"""Amazon Cognito on the loopback: real HTTP, real signatures, and responses and faults scripted by a test."""

from collections.abc import Mapping
from typing import NamedTuple

from tests.fakes.cognito_engine import CognitoLikeEngine, EveryPool
from tests.fakes.http_connections import HttpRequest
from tests.fakes.scripted_upstream import ScriptedUpstream

from tokend_server.access.authorization import Policy
from tokend_server.aws_json.calls import Calls
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.service import AwsJsonService
from tokend_server.aws_json.signers import identifying_signers
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.aws_json.wire import AwsResponse, canonical_headers
from tokend_server.clock import Clock, SystemClock
from tokend_server.engine import Engine
from tokend_server.model import ANONYMOUS, Secret
from tokend_server.rpc.developer_identity import DeveloperIdentityService


class AccessKey(NamedTuple):
    """Credentials, by the names of boto3's parameters."""

    aws_access_key_id: str
    aws_secret_access_key: str
    aws_session_token: str | None = None


ACCESS_KEY = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


class CognitoUpstream(ScriptedUpstream):
    """Cognito as a scripted upstream.

    Args:
        clock: The clock for the times of tokens.
        engines: The engines behind it; without engines, every user of every pool has an identity.
        access_key: The only valid access key.
        signature_clock: The clock for checks of signature dates.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        engines: Mapping[str, Engine] | None = None,
        access_key: AccessKey = ACCESS_KEY,
        signature_clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self._clock = clock or SystemClock()
        self._engines = EveryPool(CognitoLikeEngine(self._clock)) if engines is None else engines
        key_id, secret_key, session_token = access_key
        self._verifier = SignatureVerifier(
            {key_id: Secret(secret_key)},
            signature_clock or SystemClock(),
            session_tokens={key_id: Secret(session_token)} if session_token else {},
        )

    def _answer(self, request: HttpRequest, engines: Mapping[str, Engine] | None) -> AwsResponse:
        operations = DeveloperIdentityService(
            self._engines if engines is None else engines, Policy((), ()), self._clock
        )
        signers = identifying_signers(self._verifier, lambda _access_key_id: ANONYMOUS)
        sent = AwsRequest(request.method, request.target, canonical_headers(request.headers), request.body)
        return Calls(AwsJsonService(operations, [signers]), self._clock).answer(sent)

"""A program that uses the installed client with all its extras, for `test_python_packages.py`."""

import json
import sys
from contextlib import suppress

import tokend_client

BROUGHT_BY_EXTRAS = {"botocore", "httpx", "jmespath", "jwt", "prometheus_client", "pydantic", "requests", "ruamel"}


def imported() -> set[str]:
    """Returns which modules of the extras have been imported."""
    return BROUGHT_BY_EXTRAS & {name.partition(".")[0] for name in sys.modules}


assert not imported(), imported()

import botocore.session  # noqa: E402 - as are the others: they must not have been imported before
import httpx  # noqa: E402
import jwt  # noqa: E402
import requests  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from jwt.algorithms import ECAlgorithm  # noqa: E402

from tokend_client import Client, ErrorReason, TokenCache, TokendError, TokenRequest, TokenSource  # noqa: E402
from tokend_client.aws import web_identity_session  # noqa: E402
from tokend_client.httpx_auth import HttpxTokenAuth  # noqa: E402
from tokend_client.requests_auth import RequestsTokenAuth  # noqa: E402
from tokend_client.testing import Failure, FakeTokendServer  # noqa: E402
from tokend_client.verifier import IssuerKeys, TokenRejected, TokenVerifier  # noqa: E402


def attached_by_httpx(source: TokenSource) -> str:
    """Returns the authorization that a service receives."""
    answer = httpx.MockTransport(lambda request: httpx.Response(200, text=request.headers["authorization"]))
    with httpx.Client(transport=answer, auth=HttpxTokenAuth(source)) as http:
        return http.get("https://orders.example.test").text


def attached_by_requests(source: TokenSource) -> str:
    """The same."""
    request = requests.Request("GET", "https://orders.example.test", auth=RequestsTokenAuth(source))
    return str(request.prepare().headers["Authorization"])


def refusal(client: Client, request: TokenRequest) -> str | None:
    """Returns why there is no token."""
    try:
        client.get_token(request)
    except TokendError as error:
        return error.reason
    return None


class OneKey(IssuerKeys):
    """The only key of an issuer."""

    def __init__(self) -> None:
        super().__init__("https://issuer.example.test")
        self.private = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(ECAlgorithm.to_jwk(self.private.public_key()))
        self._key = jwt.PyJWK({**public, "kid": "1", "alg": "ES256"})

    def held(self, kid: str) -> jwt.PyJWK | None:
        """The key, if it is the one."""
        return self._key if kid == "1" else None


def odd_claims_that_are_not_rejected() -> list[str]:
    """Returns the claims that the verifier accepts, as JSON. Fails at errors that are not the verifier's own."""
    keys, found = OneKey(), []
    verifier = TokenVerifier("https://issuer.example.test", ["pool"], keys=keys)
    for odd in ('"exp": 1e999', '"iat": []', '"nbf": null', '"iss": {}', '"aud": {}', f'"x": {"[" * 5000}{"]" * 5000}'):
        good = '{"iss": "https://issuer.example.test", "aud": "pool", "sub": "a", "iat": 1, "exp": 9e9, '
        token = jwt.api_jws.encode(f"{good}{odd}}}".encode(), keys.private, "ES256", {"kid": "1"})
        with suppress(TokenRejected):
            verifier.verify(token)
            found.append(odd)
    return found


def main() -> None:
    """Uses each feature once."""
    assert odd_claims_that_are_not_rejected() == []
    with FakeTokendServer() as server, Client(server.endpoint, plaintext=True) as client:
        alice = TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "alice"})
        verifier = TokenVerifier(server.serve_issuer(), [server.identity_pool_id])
        with TokenSource(client, alice) as source, TokenCache(client) as cache:
            issued = source.token()
            assert cache.token(alice).identity_id == issued.identity_id
            assert verifier.verify(issued.value).identity_id == issued.identity_id
            assert attached_by_httpx(source) == attached_by_requests(source) == f"Bearer {issued.value}"
            session = web_identity_session(source, "arn:aws:iam::123456789012:role/r", role_session_name="s")
            assert isinstance(session, botocore.session.Session)
        server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
        assert refusal(client, alice) == ErrorReason.NOT_AUTHORIZED
    sys.stdout.write(f"{tokend_client.__name__} works\n")


main()

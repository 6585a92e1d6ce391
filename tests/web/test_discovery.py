import base64
import hashlib
import json
from typing import Any

import httpx
import jwt
import pytest
from tests.support.server_process import ServerProcess
from tests.web.in_process import POOLS, PROVIDER, GetToken

from tokend_server.app import Service
from tokend_server.web.discovery import COGNITO_JWKS_PATH, DISCOVERY_PATH, JWKS_PATH

#: The private members of a key (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

PUBLIC_MEMBERS = {"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}}

every_path = pytest.mark.parametrize("path", [DISCOVERY_PATH, JWKS_PATH, COGNITO_JWKS_PATH])


def keys_of(http: httpx.Client, issuer: str) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = http.get(issuer + JWKS_PATH).json()["keys"]
    return keys


def thumbprint(key: dict[str, Any]) -> str:
    """RFC 7638, section 3."""
    required = {name: key[name] for name in sorted({"kty"} | PUBLIC_MEMBERS[key["kty"]])}
    digest = hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def verified(http: httpx.Client, issuer: str, token: str, audience: str, iss: str | None = None) -> dict[str, Any]:
    """Verifies a token with only the discovery document; `iss` is the expected issuer if it is not this one."""
    discovered = http.get(issuer + DISCOVERY_PATH).json()
    key_set = jwt.PyJWKSet.from_dict(http.get(discovered["jwks_uri"]).json())
    key = key_set[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(
        token,
        key,
        algorithms=discovered["id_token_signing_alg_values_supported"],
        options={"require": ["sub", "aud", "iss", "exp", "iat"]},
        audience=audience,
        issuer=iss or issuer,
    )


def test_the_discovery_document_is_complete(http: httpx.Client, service: Service) -> None:
    answer = http.get(service.issuer + DISCOVERY_PATH)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    document = answer.json()
    assert document.pop("claims_supported")
    assert document == {
        "issuer": service.issuer,
        "jwks_uri": f"{service.issuer}/.well-known/jwks.json",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256", "RS512"],
    }


def test_only_the_algorithms_of_the_pools_are_announced(http: httpx.Client, tokend: ServerProcess) -> None:
    document = http.get(tokend.issuer + DISCOVERY_PATH).json()
    assert document["issuer"] == tokend.issuer
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]


def test_the_keys_are_the_same_on_both_paths(http: httpx.Client, issuer: str) -> None:
    announced = http.get(http.get(issuer + DISCOVERY_PATH).json()["jwks_uri"])
    assert announced.headers["content-type"] == "application/json"
    assert announced.content == http.get(issuer + "/.well-known/jwks_uri").content
    assert announced.json()["keys"]


def test_each_key_says_exactly_what_it_is_for(http: httpx.Client, service: Service) -> None:
    keys = keys_of(http, service.issuer)
    assert [(key["alg"], key["kty"], key["use"]) for key in keys] == [
        ("ES256", "EC", "sig"),
        ("RS256", "RSA", "sig"),
        ("RS512", "RSA", "sig"),
    ]
    assert [key["kid"] for key in keys] == [thumbprint(key) for key in keys]
    assert len({key["kid"] for key in keys}) == 3


def test_keys_have_public_members_only(http: httpx.Client, issuer: str) -> None:
    for key in keys_of(http, issuer):
        assert key.keys() == {"kty", "alg", "use", "kid"} | PUBLIC_MEMBERS[key["kty"]]
        assert not key.keys() & PRIVATE_MEMBERS
    assert b"PRIVATE" not in http.get(issuer + JWKS_PATH).content


@pytest.mark.parametrize("algorithm", POOLS)
def test_another_library_verifies_a_token_with_the_published_keys(
    algorithm: str, http: httpx.Client, service: Service, get_token: GetToken
) -> None:
    issued = get_token(service.grpc_addresses[0], POOLS[algorithm], "web-alice")
    header = jwt.get_unverified_header(issued.token)
    (key,) = [key for key in keys_of(http, service.issuer) if key["alg"] == algorithm]
    assert header == {"kid": key["kid"], "typ": "JWS", "alg": algorithm}
    claims = verified(http, service.issuer, issued.token, POOLS[algorithm])
    assert claims["sub"] == issued.identity_id
    assert claims["iss"] == service.issuer
    assert claims["amr"] == ["authenticated", PROVIDER, f"{PROVIDER}:{POOLS[algorithm]}:web-alice"]
    assert claims["exp"] == issued.expire_time.seconds


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        ({"audience": POOLS["RS256"]}, jwt.InvalidAudienceError),
        ({"audience": POOLS["RS512"], "iss": "https://other.example"}, jwt.InvalidIssuerError),
    ],
)
def test_verification_fails_for_another_audience_or_issuer(
    expected: dict[str, str], error: type[Exception], http: httpx.Client, service: Service, get_token: GetToken
) -> None:
    issued = get_token(service.grpc_addresses[0], POOLS["RS512"], "web-alice")
    with pytest.raises(error):
        verified(http, service.issuer, issued.token, **expected)


def test_a_changed_token_does_not_verify(http: httpx.Client, service: Service, get_token: GetToken) -> None:
    endpoint, pool_id = service.grpc_addresses[0], POOLS["RS512"]
    own, other = (get_token(endpoint, pool_id, user).token.split(".") for user in ("web-alice", "web-bob"))
    with pytest.raises(jwt.InvalidSignatureError):
        verified(http, service.issuer, ".".join([own[0], other[1], own[2]]), pool_id)


@every_path
def test_documents_may_be_kept_and_read_by_anyone(path: str, http: httpx.Client, issuer: str) -> None:
    headers = http.get(issuer + path).headers
    assert headers["cache-control"] == "public, max-age=300, stale-if-error=86400"
    assert headers["access-control-allow-origin"] == "*"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["etag"].startswith('"')
    assert "server" not in headers


@every_path
@pytest.mark.parametrize("etag", ["{}", "W/{}", '"other", {}', '"other",W/{} , "third"', "*"])
def test_a_document_with_a_matching_etag_is_not_sent_again(
    etag: str, path: str, http: httpx.Client, issuer: str
) -> None:
    first = http.get(issuer + path)
    again = http.get(issuer + path, headers={"if-none-match": etag.replace("{}", first.headers["etag"])})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("etag", "cache-control", "access-control-allow-origin"):
        assert again.headers[name] == first.headers[name]


@every_path
@pytest.mark.parametrize("etag", ["", '"other"', "W/", '""', "etag"])
def test_a_document_without_a_matching_etag_is_sent(etag: str, path: str, http: httpx.Client, issuer: str) -> None:
    answer = http.get(issuer + path, headers={"if-none-match": etag})
    assert answer.status_code == 200
    assert answer.json()


@every_path
def test_head_returns_the_headers_of_the_document(path: str, http: httpx.Client, issuer: str) -> None:
    document, head = http.get(issuer + path), http.head(issuer + path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "cache-control"):
        assert head.headers[name] == document.headers[name]


@every_path
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_documents_are_only_read(method: str, path: str, http: httpx.Client, issuer: str) -> None:
    answer = http.request(method, issuer + path, content=b"{}")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "path", ["", "/", "/.well-known", "/.well-known/", "/.well-known/jwks", "/.well-known/jwks.json/", "/metrics"]
)
def test_other_paths_are_not_found(path: str, http: httpx.Client, issuer: str) -> None:
    assert http.get(issuer + path).status_code == 404


@every_path
def test_an_issuer_below_a_path_is_not_at_the_root(path: str, http: httpx.Client, service: Service) -> None:
    root = service.issuer.removesuffix("/tenants/a")
    assert http.get(root + path).status_code == 404
    assert http.get(root + "/tenants/b" + path).status_code == 404


def test_scripts_of_any_origin_may_read_documents_and_errors(http: httpx.Client, issuer: str) -> None:
    for method, path in (("OPTIONS", JWKS_PATH), ("GET", JWKS_PATH), ("GET", "/absent"), ("POST", JWKS_PATH)):
        assert http.request(method, issuer + path).headers["access-control-allow-origin"] == "*"


def test_no_script_may_read_metrics_or_probes(http: httpx.Client, service: Service) -> None:
    for path in ("/metrics", "/readyz", "/absent"):
        answer = http.get(f"http://{service.ops_address}{path}")
        assert "access-control-allow-origin" not in answer.headers

"""ext_authz.yaml with the real tokend: each request is forwarded with its user's token, and with no other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import jwt
import pytest
from tests.envoy.examples import Envoy
from tests.envoy.outbound import STRANGER, Site, app, site
from tests.support.grpc_service import TIMEOUT
from tests.support.ports import free_ports
from tests.support.tokend import run
from tests.support.waiting import wait_until

Headers: TypeAlias = list[list[str]]

OPEN = {"failure_mode_allow: false": "failure_mode_allow: true"}

#: An Envoy that leaves the client's header to tokend.
CARELESS = {"remove: authorization": "remove: x-another"}


@pytest.fixture(scope="module")
def called() -> Iterator[str]:
    with app() as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="module")
def envoy(place: Site, called: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    with place.outbound(tmp_path_factory.mktemp("outbound"), called) as running:
        yield running


def get(envoy: Envoy, token: str | None, *others: tuple[str, str], path: str = "/") -> httpx.Response:
    """Makes a request as the calling service, with its user's token."""
    authorization = [("authorization", f"Bearer {token}")] if token else []
    with httpx.Client(trust_env=False, base_url=f"http://{envoy.address}", timeout=TIMEOUT) as client:
        return client.get(path, headers=[*others, *authorization])


def sent(answer: httpx.Response, name: str = "authorization") -> list[str]:
    """Returns the values of a header that reached the called service."""
    assert answer.status_code == httpx.codes.OK, answer
    headers: Headers = answer.json()
    return [value for key, value in headers if key == name]


def claims_of(answer: httpx.Response) -> dict[str, Any]:
    """Returns the claims of the only token that reached the called service."""
    (value,) = sent(answer)
    claims: dict[str, Any] = jwt.decode(value.removeprefix("Bearer "), options={"verify_signature": False})
    return claims


def test_a_service_without_an_sdk_calls_another_with_the_token_of_its_user(
    place: Site, called: str, tmp_path: Path
) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    with (
        place.inbound(tmp_path / "in", int(called.rpartition(":")[2])) as inbound,
        place.outbound(tmp_path / "out", inbound.address) as outbound,
    ):
        answers = [get(outbound, place.user_token(user), ("x-identity-id", "forged")) for user in ("ann", "ben", "ann")]
        without = get(outbound, None)
        forged = get(inbound, place.user_token("ann"))
    ann, ben, again = (sent(answer, "x-identity-id") for answer in answers)
    assert ann == again != ben
    assert len(ann) == 1
    assert ann[0].startswith("us-east-1:")
    assert [sent(answer) for answer in answers] == [[]] * 3
    assert (without.status_code, forged.status_code) == (httpx.codes.UNAUTHORIZED,) * 2


def test_the_users_token_is_replaced_by_a_token_of_tokend_with_tags(place: Site, envoy: Envoy) -> None:
    claims = claims_of(get(envoy, place.user_token("carol")))
    assert claims["iss"] == place.server.issuer
    assert claims["https://aws.amazon.com/tags"]["principal_tags"] == {"tenant": ["acme"]}


@pytest.mark.parametrize(
    "forged",
    [
        [("authorization", "Basic Zm9yZ2Vk")],
        [("Authorization", "forged"), ("authorization", "Basic Zm9yZ2Vk")],
    ],
)
def test_forged_headers_of_clients_are_removed(place: Site, envoy: Envoy, forged: list[tuple[str, str]]) -> None:
    answer = get(envoy, None, *forged, path=f"/?access_token={place.user_token('dave')}")
    assert claims_of(answer)["iss"] == place.server.issuer


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"tenant": None}, httpx.codes.FORBIDDEN),
        ({"sub": ""}, httpx.codes.UNAUTHORIZED),
        ({"sub": None}, httpx.codes.UNAUTHORIZED),
        ({"aud": "other"}, httpx.codes.FORBIDDEN),
    ],
)
def test_a_request_with_missing_or_invalid_claims_is_rejected(
    place: Site, envoy: Envoy, claims: dict[str, object], status: int
) -> None:
    answer = get(envoy, place.user_token("erin", **claims))
    assert (answer.status_code, answer.text.count("tokend")) == (status, 0)


def test_a_route_without_a_mapping_gets_403(place: Site, called: str, tmp_path: Path) -> None:
    with place.outbound(tmp_path, called, values={"tokend.mapping: web": "other: web"}) as envoy:
        assert get(envoy, place.user_token("frank")).status_code == httpx.codes.FORBIDDEN


def test_a_service_that_the_policy_does_not_know_gets_403(place: Site, called: str, tmp_path: Path) -> None:
    with place.outbound(tmp_path, called, caller=STRANGER) as envoy:
        assert get(envoy, place.user_token("gina")).status_code == httpx.codes.FORBIDDEN
    refusals = [line for line in place.audit() if line["userIdentity"].get("principalId") == STRANGER]
    assert {line["errorCode"] for line in refusals} == {"CALLER_NOT_ALLOWED"}


def test_repeated_requests_of_a_user_reuse_the_token_and_are_each_audited(place: Site, envoy: Envoy) -> None:
    before = {source: issued(place, source) for source in ("issued", "reused")}
    signatures = place.counted("tokend_tokens_issued_total")
    answers = [get(envoy, place.user_token("heidi"), ("x-request-id", f"heidi-{number}")) for number in range(10)]
    assert len({value for answer in answers for value in sent(answer)}) == 1
    assert {source: issued(place, source) - count for source, count in before.items()} == {"issued": 1, "reused": 9}
    assert place.counted("tokend_tokens_issued_total") - signatures == 1
    lines = [line for line in place.audit() if line["requestID"].startswith("heidi-")]
    assert [line["requestID"] for line in lines] == [f"heidi-{number}" for number in range(10)]
    assert [line["additionalEventData"]["tokenSource"] for line in lines] == ["issued", *["reused"] * 9]


def issued(place: Site, source: str) -> float:
    return place.counted("tokend_mesh_tokens_total", source=source)


@pytest.mark.parametrize("others", [[], [("authorization", "Basic Zm9yZ2Vk")]])
def test_without_tokend_requests_are_rejected_or_forwarded_without_a_token(
    place: Site, called: str, tmp_path: Path, others: list[tuple[str, str]]
) -> None:
    token = place.user_token("ivan")
    nowhere = free_ports(2)
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
    with place.outbound(tmp_path / "closed", called, tokend_ports=nowhere) as closed:
        assert get(closed, None, *others, path=f"/?access_token={token}").status_code == httpx.codes.SERVICE_UNAVAILABLE
    with place.outbound(tmp_path / "open", called, tokend_ports=nowhere, values=OPEN) as opened:
        assert sent(get(opened, None, *others, path=f"/?access_token={token}")) == []


@pytest.mark.parametrize("forged", [[], [("authorization", "Basic Zm9yZ2Vk")]])
def test_while_tokend_fails_requests_are_rejected_or_forwarded_without_a_token(
    place: Site, called: str, tmp_path: Path, forged: list[tuple[str, str]]
) -> None:
    path = f"/?access_token={place.user_token('ivy')}"
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
    closed = {"tokend.mapping: web": "tokend.mapping: closed"}
    with place.outbound(tmp_path / "closed", called, values=closed) as envoy:
        answer = get(envoy, None, *forged, path=path)
        assert (answer.status_code, answer.headers["retry-after"]) == (httpx.codes.SERVICE_UNAVAILABLE, "1")
    opened = {**CARELESS, "tokend.mapping: web": "tokend.mapping: open"}
    with place.outbound(tmp_path / "open", called, values=opened) as envoy:
        assert sent(get(envoy, None, *forged, path=path)) == []


def test_tokend_overwrites_a_header_that_envoy_has_left(place: Site, called: str, tmp_path: Path) -> None:
    with place.outbound(tmp_path, called, values=CARELESS) as envoy:
        answer = get(envoy, None, ("authorization", "Basic Zm9yZ2Vk"), path=f"/?access_token={place.user_token('jan')}")
    assert claims_of(answer)["iss"] == place.server.issuer


def test_a_key_that_was_taken_away_signs_no_request_any_more(place: Site, envoy: Envoy) -> None:
    token = place.user_token("judy")
    before = key_id(get(envoy, token))
    ended = run("keys", "rotate", "--compromised", before, "--config", str(place.config))
    assert ended.returncode == 0, ended.stderr
    wait_until(lambda: before not in published(place))
    after = key_id(get(envoy, token))
    assert after in published(place)


def key_id(answer: httpx.Response) -> str:
    (value,) = sent(answer)
    found: str = jwt.get_unverified_header(value.removeprefix("Bearer "))["kid"]
    return found


def published(place: Site) -> set[str]:
    """Returns the ids of the currently published keys."""
    keys = httpx.get(f"{place.server.issuer}/.well-known/jwks.json", trust_env=False).json()["keys"]
    return {key["kid"] for key in keys}


def test_after_a_restart_of_tokend_users_have_their_identities(place: Site, envoy: Envoy) -> None:
    token = place.user_token("kim")
    before = claims_of(get(envoy, token))["sub"]
    place.server.stop()
    assert get(envoy, token).status_code == httpx.codes.SERVICE_UNAVAILABLE
    place.start()
    envoy.wait_until_healthy("tokend", 2)
    assert claims_of(get(envoy, token))["sub"] == before

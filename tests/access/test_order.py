"""The authenticators, in the order of the configuration: the first that succeeds counts."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from tests.access.guarded_service import PROXY, SPIFFE, SUBJECT, Credentials
from tests.access.identities import Shown, both, key, seen, xfcc
from tests.access.identities import jwt as token
from tests.access.methods import LOOKUP, call
from tests.fakes.oidc_provider import OidcProvider
from tests.support.authority import Identification
from tests.support.grpc_service import POOL_ID, GrpcService, failure, grpc_service

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.callers.keys import digest
from tokend_server.model import LookupRequest, Secret

MUTUAL, KEY, TOKEN, FORWARDED = "mutual_tls", "bearer_key", "jwt", "x_forwarded_client_cert"

CHECKOUT, GOOD_TOKEN = key("checkout"), token()
KEY_NAME, TOKEN_NAME = "key:checkout", f"jwt:cluster:{SUBJECT}"
FORWARDED_NAME = "spiffe://acme.internal/ns/shop/sa/cart"
XFCC = xfcc(seen(FORWARDED_NAME))


class Case(NamedTuple):
    """A listener, and a call's credentials.

    Attributes:
        authenticators: The authenticators in order.
        certified: The SPIFFE ID of the client certificate.
        show: The other credentials.
        name: The caller's name; None if not identified.
    """

    authenticators: Sequence[str]
    certified: str
    show: Shown
    name: str | None


CASES: dict[str, Case] = {
    "certificate before key": Case([MUTUAL, KEY], SPIFFE, CHECKOUT, SPIFFE),
    "key before certificate": Case([KEY, MUTUAL], SPIFFE, CHECKOUT, KEY_NAME),
    "token before certificate": Case([TOKEN, MUTUAL], SPIFFE, GOOD_TOKEN, TOKEN_NAME),
    "key before token": Case([KEY, TOKEN], SPIFFE, GOOD_TOKEN, TOKEN_NAME),
    "token before key": Case([TOKEN, KEY], SPIFFE, CHECKOUT, KEY_NAME),
    "unknown key before certificate": Case([KEY, MUTUAL], SPIFFE, key("none"), SPIFFE),
    "no key before certificate": Case([KEY, MUTUAL], SPIFFE, both(), SPIFFE),
    "certificate before two keys": Case([MUTUAL, KEY], SPIFFE, both(CHECKOUT, CHECKOUT), SPIFFE),
    "two keys before certificate": Case([KEY, MUTUAL], SPIFFE, both(CHECKOUT, CHECKOUT), None),
    "two keys without a key authenticator": Case([MUTUAL], SPIFFE, both(CHECKOUT, CHECKOUT), SPIFFE),
    "certificate without a certificate authenticator": Case([KEY], SPIFFE, both(), None),
    "XFCC header before key": Case([FORWARDED, KEY], PROXY, both(XFCC, CHECKOUT), FORWARDED_NAME),
    "key before XFCC header": Case([KEY, FORWARDED], PROXY, both(XFCC, CHECKOUT), KEY_NAME),
    "proxy without XFCC header before key": Case([FORWARDED, MUTUAL, KEY], PROXY, CHECKOUT, KEY_NAME),
    "XFCC header without its authenticator": Case([MUTUAL], SPIFFE, XFCC, SPIFFE),
    "two XFCC headers of a proxy before certificate": Case([FORWARDED, MUTUAL], PROXY, both(XFCC, XFCC), None),
    "two XFCC headers of no proxy before certificate": Case([FORWARDED, MUTUAL], SPIFFE, both(XFCC, XFCC), SPIFFE),
}


@pytest.fixture(scope="module")
def server(credentials: Credentials) -> Identification:
    return credentials.servers.server("127.0.0.1")


@pytest.fixture
def serve(
    tmp_path: Path, credentials: Credentials, oidc_provider: OidcProvider, server: Identification
) -> Callable[[Sequence[str]], AbstractContextManager[GrpcService]]:
    """Serves with these authenticators."""
    sections = {
        "callers": {
            "keys": {"checkout": [digest(Secret(credentials.keys["checkout"]))]},
            "jwt": {"cluster": {"issuer": oidc_provider.issuer, "audiences": ["tokend"], "algorithms": ["RS256"]}},
        },
        "policy": {"all": {"callers": ["**"], "pools": ["*"], "operations": ["*"]}},
    }
    tls = files(tmp_path, credentials, server)
    return lambda authenticators: grpc_service(
        None,
        sections,
        **tls,
        identify_by=authenticators,
        trusted_proxies=[PROXY] if FORWARDED in authenticators else [],
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_first_authenticator_that_succeeds_identifies_the_caller(
    credentials: Credentials, serve: Callable[[Sequence[str]], AbstractContextManager[GrpcService]], case: Case
) -> None:
    client = credentials.clients.client(uris=[case.certified])
    trust = grpc.ssl_channel_credentials(credentials.servers.certificate, client.private_key, client.certificate)
    request = pb.LookupDeveloperIdentityRequest(identity_pool_id=POOL_ID, developer_user_identifier="alice")
    with serve(case.authenticators) as service, grpc.secure_channel(service.address, trust) as channel:
        if case.name is None:
            failed = failure(lambda: call(LOOKUP, channel, request, case.show(credentials)))
            assert failed.reason == "CALLER_UNAUTHENTICATED"
            assert service.engine.asked == []
        else:
            call(LOOKUP, channel, request, case.show(credentials))
            (reached,) = service.engine.requests
            assert isinstance(reached, LookupRequest)
            assert reached.caller == case.name


def files(directory: Path, credentials: Credentials, server: Identification) -> dict[str, Path]:
    """Writes the TLS files of a listener, and returns its settings."""
    contents = {
        "tls_certificate_file": server.certificate,
        "tls_private_key_file": server.private_key,
        "tls_client_ca_file": credentials.clients.certificate,
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return {name: directory / name for name in contents}

"""The kinds of callers: their listeners, their credentials, and their names in the service."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from tests.access.guarded_service import (
    MUTUAL,
    OPEN,
    PROXIED,
    PROXIES,
    PROXY,
    SOCKET,
    SPIFFE,
    SUBJECT,
    TOKENS,
    Credentials,
    Metadata,
)
from tests.support.authority import Identification


class Standing(Enum):
    """The standing of a caller."""

    GRANTED = auto()
    """Identified, and rows of the policy are about it."""

    STRANGER = auto()
    """Identified, and no row is about it."""

    UNKNOWN = auto()
    """Not identified."""

    OUTSIDE = auto()
    """Without a connection: TLS refuses it."""


class Identity(NamedTuple):
    """One kind of caller.

    Attributes:
        standing: Its standing.
        name: Its name in the service; empty if it is not identified.
        listener: Its listener.
        certificate: Its client certificate, if any.
        metadata: The metadata of each call.
    """

    standing: Standing
    name: str
    listener: str
    certificate: Callable[[Credentials], Identification] | None = None
    metadata: Callable[[Credentials], Metadata] = lambda _credentials: ()


Shown = Callable[[Credentials], Metadata]


def client(*uris: str, dns_names: Sequence[str] = (), expired: bool = False) -> Callable[[Credentials], Identification]:
    return lambda credentials: credentials.clients.client(uris=uris, dns_names=dns_names, expired=expired)


def of_strangers(*uris: str) -> Callable[[Credentials], Identification]:
    return lambda credentials: credentials.strangers.client(uris=uris)


def key(name: str) -> Shown:
    return lambda credentials: [credentials.key(name)]


def jwt(subject: str = SUBJECT, *, algorithm: str = "RS256", **changes: object) -> Shown:
    return lambda credentials: [credentials.jwt(subject, algorithm=algorithm, **changes)]


def text(value: str) -> Shown:
    return lambda _credentials: [("authorization", value)]


def xfcc(*headers: str) -> Shown:
    return lambda _credentials: [("x-forwarded-client-cert", header) for header in headers]


def both(*shown: Shown) -> Shown:
    return lambda credentials: [pair for each in shown for pair in each(credentials)]


def seen(uri: str) -> str:
    """Returns Envoy's header for a client certificate."""
    return f'By={PROXY};Hash=5f1e;Subject="CN=a, O=\\"b;URI=c\\"";URI={uri};DNS=checkout.shop.internal'


_GRANTED, _STRANGER, _UNKNOWN, _OUTSIDE = Standing

BATCH = "spiffe://acme.internal/ns/batch/sa/checkout"
BELOW = f"{SPIFFE}/below"

#: An hour in the past, as claims.
LONG_AGO: Mapping[str, Any] = {"iat": 1_700_000_000, "exp": 1_700_003_600}

IDENTITIES: Mapping[str, Identity] = {
    "SPIFFE certificate": Identity(_GRANTED, SPIFFE, MUTUAL, client(SPIFFE, dns_names=["a.batch.internal"])),
    "DNS certificate": Identity(
        _GRANTED, "dns:checkout.shop.internal", MUTUAL, client(dns_names=["Checkout.shop.internal", "b.test"])
    ),
    "JWT": Identity(_GRANTED, f"jwt:cluster:{SUBJECT}", TOKENS, None, jwt()),
    "JWT of a subject beyond ASCII": Identity(
        _GRANTED, "jwt:cluster:build%20bot%20%C3%A9", TOKENS, None, jwt("build bot \u00e9")
    ),
    "JWT, nameless certificate": Identity(_GRANTED, f"jwt:cluster:{SUBJECT}", MUTUAL, client(), jwt()),
    "key": Identity(_GRANTED, "key:checkout", TOKENS, None, key("checkout")),
    "second key": Identity(_GRANTED, "key:checkout", TOKENS, None, key("checkout 2")),
    "key, nameless certificate": Identity(_GRANTED, "key:checkout", MUTUAL, client(), key("checkout")),
    "proxy's word over TLS": Identity(_GRANTED, PROXIED, PROXIES, client(PROXY), xfcc(seen(PROXIED))),
    "proxy's word before certificate": Identity(_GRANTED, PROXIED, MUTUAL, client(PROXY), xfcc(seen(PROXIED))),
    "proxy's word by unix socket": Identity(_GRANTED, PROXIED, SOCKET, None, xfcc(seen(PROXIED))),
    "last word by unix socket": Identity(_GRANTED, PROXIED, SOCKET, None, xfcc(f"{seen(BATCH)},{seen(PROXIED)}")),
    "anonymous": Identity(_GRANTED, "anonymous", OPEN),
    "anonymous with a stranger's key": Identity(_GRANTED, "anonymous", OPEN, None, key("other")),
    "stranger's SPIFFE certificate": Identity(_STRANGER, BATCH, MUTUAL, client(BATCH)),
    "SPIFFE ID below one that is granted": Identity(_STRANGER, BELOW, MUTUAL, client(BELOW)),
    "stranger's DNS certificate": Identity(
        _STRANGER, "dns:shop.internal", MUTUAL, client(dns_names=["shop.internal", "checkout.shop.internal"])
    ),
    "DNS name below one that is granted": Identity(
        _STRANGER, "dns:x.shop.internal.test", MUTUAL, client(dns_names=["x.shop.internal.test"])
    ),
    "stranger's JWT": Identity(
        _STRANGER,
        "jwt:cluster:system:serviceaccount:batch:checkout",
        TOKENS,
        None,
        jwt("system:serviceaccount:batch:checkout"),
    ),
    "stranger's key": Identity(_STRANGER, "key:other", TOKENS, None, key("other")),
    "stranger's certificate at a proxy": Identity(_STRANGER, BATCH, PROXIES, client(PROXY), xfcc(seen(BATCH))),
    "stranger's certificate at a proxy by unix socket": Identity(_STRANGER, BATCH, SOCKET, None, xfcc(seen(BATCH))),
    "stranger who plays proxy": Identity(_STRANGER, BATCH, MUTUAL, client(BATCH), xfcc(seen(SPIFFE))),
    "stranger's certificate with a good key": Identity(_STRANGER, BATCH, MUTUAL, client(BATCH), key("checkout")),
    "nothing": Identity(_UNKNOWN, "", TOKENS),
    "nothing by unix socket": Identity(_UNKNOWN, "", SOCKET),
    "nameless certificate": Identity(_UNKNOWN, "", MUTUAL, client()),
    "malformed SPIFFE ID": Identity(
        _UNKNOWN, "", MUTUAL, client("spiffe://acme.internal", dns_names=["checkout.shop.internal"])
    ),
    "two SPIFFE IDs": Identity(_UNKNOWN, "", MUTUAL, client(SPIFFE, BATCH)),
    "proxy that says nothing": Identity(_UNKNOWN, "", PROXIES, client(PROXY)),
    "proxy that says nothing, before certificates": Identity(_UNKNOWN, "", MUTUAL, client(PROXY)),
    "proxy of a nameless certificate": Identity(_UNKNOWN, "", MUTUAL, client(PROXY), xfcc("Hash=5f1e")),
    "two words of a proxy": Identity(_UNKNOWN, "", MUTUAL, client(PROXY), xfcc(seen(PROXIED), seen(PROXIED))),
    "two words by unix socket": Identity(_UNKNOWN, "", SOCKET, None, xfcc(seen(PROXIED), seen(BATCH))),
    "word that cannot be read": Identity(_UNKNOWN, "", PROXIES, client(PROXY), xfcc(f'Subject="a;URI={PROXIED}')),
    "word of one who is no proxy": Identity(_UNKNOWN, "", PROXIES, client(SPIFFE), xfcc(seen(SPIFFE))),
    "word without a certificate": Identity(_UNKNOWN, "", TOKENS, None, xfcc(seen(SPIFFE))),
    "unknown key": Identity(_UNKNOWN, "", TOKENS, None, key("none")),
    "key that is none": Identity(_UNKNOWN, "", TOKENS, None, text("Bearer checkout")),
    "key by unix socket": Identity(_UNKNOWN, "", SOCKET, None, key("checkout")),
    "key at the proxies' address": Identity(_UNKNOWN, "", PROXIES, client(), key("checkout")),
    "certificate at the proxies' address": Identity(_UNKNOWN, "", PROXIES, client(SPIFFE)),
    "another scheme": Identity(_UNKNOWN, "", TOKENS, None, text("Basic Y2hlY2tvdXQ6Y2hlY2tvdXQ=")),
    "empty authorization": Identity(_UNKNOWN, "", TOKENS, None, text("")),
    "expired JWT": Identity(_UNKNOWN, "", TOKENS, None, jwt(**LONG_AGO)),
    "JWT for another audience": Identity(_UNKNOWN, "", TOKENS, None, jwt(aud=["vault"])),
    "JWT of another issuer": Identity(_UNKNOWN, "", TOKENS, None, jwt(iss="https://other.example.test")),
    "JWT of another algorithm": Identity(_UNKNOWN, "", TOKENS, None, jwt(algorithm="RS512")),
    "two authorizations": Identity(_UNKNOWN, "", TOKENS, None, both(key("checkout"), jwt())),
    "one authorization twice": Identity(_UNKNOWN, "", TOKENS, None, both(key("checkout"), key("checkout"))),
    "no certificate": Identity(_OUTSIDE, "", MUTUAL, None, key("checkout")),
    "certificate of another authority": Identity(_OUTSIDE, "", MUTUAL, of_strangers(SPIFFE), key("checkout")),
    "expired certificate": Identity(_OUTSIDE, "", MUTUAL, client(SPIFFE, expired=True), key("checkout")),
    "proxy of another authority": Identity(_OUTSIDE, "", PROXIES, of_strangers(PROXY), xfcc(seen(SPIFFE))),
}

"""What the targets are given: JSON values, so that an input that found something can be kept in a file."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from tests.fuzz.choices import Choices
from tests.fuzz.service import (
    ADMIN,
    CANARY,
    CHECKOUT,
    DEVELOPER,
    GET,
    KEY,
    LISTENERS,
    LONGEST,
    LOOKUP,
    MERGE,
    OPS_POOL,
    PROVIDERS,
    PROXY,
    SHOP_POOL,
    TAG,
    UNLINK,
    USERS,
)
from tests.fuzz.tokens import APPLICATION, AUDIENCE, CLUSTER, NOW, SUBJECT, edited

from tokend_server.model import CognitoOperation

Json: TypeAlias = Any
Make: TypeAlias = Callable[[Choices], Json]


def request(choices: Choices) -> Json:
    """A request within and beyond its limits."""
    method = choices.one(GET, LOOKUP, MERGE, UNLINK)
    return {
        "method": method,
        "fields": {name: make(choices) for name, make in _FIELDS[method].items()},
        "peer": choices.made(
            lambda: choices.one("ipv4:10.0.0.1:50000", "ipv6:%5B::1%5D:50000", "unix:", ""), choices.latin
        ),
        "seconds_left": choices.one(0.0, 0.001) if choices.rarely(30) else choices.one(1e18, 10.0),
    }


def changed_request(choices: Choices) -> Json:
    """A request whose bytes are changed; without any fields they are nothing but changes."""
    made = request(choices)
    return {"method": made["method"], "fields": {} if choices.rarely(6) else made["fields"], "edits": choices.edits()}


def _pool(choices: Choices) -> str:
    if choices.rarely(8):
        return choices.made(
            lambda: choices.one("", "nowhere:0", "a:", f"{SHOP_POOL}\n"), choices.text, lambda: choices.long(55)
        )
    return OPS_POOL if choices.rarely(12) else SHOP_POOL


def _identity(choices: Choices) -> str:
    if choices.rarely(5):
        return choices.made(lambda: choices.one("eu-west-1:0", SHOP_POOL), choices.text, lambda: choices.long(55))
    return choices.one("", *USERS)  # a user stands for its identity


def _provider(choices: Choices) -> str:
    if choices.rarely(5):
        return choices.made(
            lambda: choices.one("graph.facebook.com", "cognito-identity.amazonaws.com"),
            choices.text,
            lambda: choices.long(128),
        )
    return DEVELOPER


def _secret(limit: int) -> Make:
    def make(choices: Choices) -> str:
        if choices.rarely(4):
            return CANARY + choices.made(choices.text, lambda: choices.long(limit - len(CANARY)))
        return choices.one(*USERS, f"{CANARY}-{choices.number(0, 99)}", "")

    return make


def _map(choices: Choices, key: Callable[[], str], limit: int, longest: int) -> Json:
    if choices.rarely(20):
        return {f"key {number}": CANARY for number in range(choices.one(limit, limit + 1, 20 * limit))}
    return dict(choices.several(lambda: (key(), _secret(longest)(choices)), 3))


def _logins(choices: Choices) -> Json:
    def key() -> str:
        return choices.made(lambda: choices.one(*PROVIDERS, *_OTHER_PROVIDERS), choices.text)

    others = _map(choices, key, 10, 50_000)
    return others if choices.rarely(6) else {DEVELOPER: _secret(50_000)(choices), **others}


def _tags(choices: Choices) -> Json:
    def key() -> str:
        return choices.made(lambda: choices.one(TAG, TAG, "role"), choices.text, lambda: choices.long(128))

    return _map(choices, key, 50, 256) if choices.rarely(3) else {}


def _duration(choices: Choices) -> Json:
    if not choices.rarely(3):
        return None
    seconds = choices.one(1, 0, -1, LONGEST, LONGEST + 1, 86_400, 86_401, 2**63 - 1, -(2**63))
    return {"seconds": seconds, "nanos": choices.one(0, 0, 0, 1, -1, 10**9, 2**31 - 1, -(2**31))}


def _number(choices: Choices) -> int:
    return choices.one(0, 1, 2, -1, 59, 60, 61, 2**31 - 1, -(2**31))


def _next_token(choices: Choices) -> str:
    if choices.rarely(8):
        return choices.made(choices.text, lambda: choices.long(65_535))
    return choices.one("", "A" * 43 + "=", "=" * 44)


_FIELDS: Mapping[str, Mapping[str, Make]] = {
    GET: {
        "identity_pool_id": _pool,
        "identity_id": _identity,
        "logins": _logins,
        "principal_tags": _tags,
        "token_duration": _duration,
    },
    LOOKUP: {
        "identity_pool_id": _pool,
        "identity_id": _identity,
        "developer_user_identifier": _secret(1024),
        "max_results": _number,
        "next_token": _next_token,
    },
    MERGE: {
        "identity_pool_id": _pool,
        "developer_provider_name": _provider,
        "source_user_identifier": _secret(1024),
        "destination_user_identifier": _secret(1024),
    },
    UNLINK: {
        "identity_pool_id": _pool,
        "identity_id": _identity,
        "developer_provider_name": _provider,
        "developer_user_identifier": _secret(1024),
    },
}

_OTHER_PROVIDERS = (
    *("accounts.google.com", "graph.facebook.com", "cognito-identity.amazonaws.com", ""),
    "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_other",
)

_VALUES = (
    *("null", "true", "0", "-1", "1.5", "[]", "{}", '""', '"a"', '["a"]', "[[]]", "[null]", '{"a":[1]}', "-0"),
    *("1e400", "-1e400", "1e308", "-1e308", "1E-400", "1" * 300, "-" + "9" * 299, "1" * 4299, "-" + "9" * 4299),
    *('"\\ud800"', '"\\u0000"', '"\\n"', '"\\u202e"', '"\\ud83d\\ude00"', '"' + "a" * 2000 + '"'),
)
_NO_VALUES = (
    *("NaN", "-Infinity", "01", "1 2", "\ufeff1", "9" * 5000, "[" * 3000 + "]" * 3000, '{"a":' * 3000, "'a'", ""),
    *('"\\x"', '"\n"', '"a', "1,", "tru"),
)

_CLAIMS = ("iss", "aud", "sub", "exp", "iat", "nbf", "azp", "token_use", "jti")
_PARAMETERS = ("alg", "kid", "typ", "crit", "b64", "x5c", "jwk", "jku", "cty", "zip")


def _raw(choices: Choices) -> str:
    """The text of a JSON value, or rarely of none."""
    if choices.rarely(25):
        return choices.one(*_NO_VALUES)
    return choices.made(
        lambda: choices.one(*_VALUES),
        lambda: f"{NOW + choices.number(-400, 400)}{choices.one('', '.5', 'e0')}",
        lambda: json.dumps(choices.text()),
    )


def _changed(choices: Choices, members: Mapping[str, Json], names: Sequence[str]) -> str:
    """The JSON text of an object some of whose members are changed, gone or there twice."""
    written = [(json.dumps(name), json.dumps(value)) for name, value in members.items()]
    if choices.rarely(30):
        return _raw(choices)
    for _ in range(choices.number(0, 3)):
        name = json.dumps(choices.text() if choices.rarely(8) else choices.one(*names))
        how = choices.one("instead", "instead", "besides", "gone")
        if how != "besides":
            written = [member for member in written if member[0] != name]
        if how != "gone":
            written.append((name, _raw(choices)))
    return "{" + ",".join(f"{name}:{value}" for name, value in written) + "}"


def _token(choices: Choices, claims: Mapping[str, Json]) -> Json:
    header, signer = '{"alg":"ES256","kid":"ec"}', "issuer"
    if choices.rarely(8):
        header, signer = choices.one(
            ('{"alg":"ES256"}', "issuer"),
            ('{"alg":"RS256","kid":"rsa"}', "rsa"),
            ('{"alg":"HS256","kid":"ec"}', "public key"),
            ('{"alg":"none"}', "no key"),
            ('{"alg":"ES256","kid":"ec"}', "stranger"),
            ('{"alg":"ES256","kid":"unknown"}', "issuer"),
            ('{"alg":"RS256","kid":"ec"}', "issuer"),
        )
    elif choices.rarely(4):
        header = _changed(choices, {"alg": "ES256", "kid": "ec"}, _PARAMETERS)
    return {
        "header": header,
        "claims": _changed(choices, claims, _CLAIMS),
        "encoding": choices.one("utf-8-sig", "utf-16", "utf-32-be") if choices.rarely(30) else "utf-8",
        "signer": signer,
        "edits": choices.edits() if choices.rarely(8) else [],
    }


_DATES = {"exp": NOW + 300, "iat": NOW, "nbf": NOW}


def caller_token(choices: Choices) -> Json:
    """A token such as callers show."""
    return _token(choices, {"iss": CLUSTER, "aud": [AUDIENCE], "sub": SUBJECT, **_DATES})


def login_token(choices: Choices) -> Json:
    """An ID token of a user, and the name under which the backend knows the user."""
    number = choices.number(0, 50)
    subject = (
        choices.text() if choices.rarely(4) else f"us\u00e9r {choices.number(0, 50) if choices.rarely(4) else number}"
    )
    provider = choices.one(*PROVIDERS)
    claims = {"iss": f"https://{provider}", "aud": APPLICATION, "sub": subject, **_DATES}
    return {
        "user": f"{CANARY}-{choices.number(0, 50) if choices.rarely(8) else number}",
        "identity_id": choices.one(*USERS) if choices.rarely(8) else "",
        "provider": provider,
        "token": _token(choices, claims),
    }


def _uri(choices: Choices) -> str:
    if choices.rarely(6):
        return choices.latin()
    return choices.one(
        CHECKOUT,
        ADMIN,
        PROXY,
        "spiffe://acme.example/ns/shop/sa/",
        "spiffe://acme.example/ns/shop/sa/../../ops/sa/admin",
        "spiffe://acme.example/ns/shop/sa/a/b",
        "SPIFFE://acme.example/ns/shop/sa/a",
        "spiffe://acme.example",
        "https://acme.example",
        "",
    )


def _dns_name(choices: Choices) -> str:
    if choices.rarely(6):
        return choices.latin()
    names = ("a.reader.example", "A.Reader.Example", "a.b.reader.example", ".reader.example", "*.reader.example")
    return choices.one(*names, "x" * 64, "")


def _pair(choices: Choices) -> str:
    key = choices.one("By", "Hash", "Cert", "Chain", "Subject", "URI", "DNS", "uRi", "dns", "Foo", "")
    value = choices.made(
        lambda: _uri(choices),
        lambda: _dns_name(choices),
        lambda: "".join(choices.several(lambda: chr(choices.number(32, 126)), 10)),
    )
    if choices.rarely(2):
        value = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{key}="{value}"'
    return f"{key}={value}"


def _any_elements(choices: Choices) -> str:
    """What may have come to a proxy with a request."""
    return "".join(
        choices.several(lambda: choices.made(lambda: _pair(choices), lambda: choices.one(",", ";", '"', "\\")), 8)
    )


def _own_element(choices: Choices) -> str:
    """What a proxy writes of the certificate that it has seen."""
    subject = choices.one("", 'Subject="";', 'Subject="CN=c";', r'Subject="CN=\",URI=x";', r'Subject="CN=a\\,O=b";')
    by = choices.one("", f"By={PROXY};")
    uris = "".join(f";URI={uri}" for uri in choices.several(lambda: choices.one(CHECKOUT, ADMIN, "", "https://a"), 2))
    dns_names = "".join(
        f";DNS={name}" for name in choices.several(lambda: choices.one("a.reader.example", "b.example", ""), 2)
    )
    return f"{by}By={PROXY};{subject}Hash=00ff{uris}{dns_names}"


def forwarded(choices: Choices) -> Json:
    """What came to a proxy, and what it adds."""
    return {"before": _any_elements(choices), "edits": choices.edits(), "own": _own_element(choices)}


def _authorization(choices: Choices) -> str:
    return choices.one(
        *(f"Bearer {KEY}", f"bearer {KEY}", f"Bearer {KEY[:-1]}", f"Basic {KEY}", f"Bearer  {KEY}", KEY, "Bearer ")
    )


def _forwarded_client_cert(choices: Choices) -> str:
    return (f"{_any_elements(choices)}," if choices.rarely(2) else "") + _own_element(choices)


def _traceparent(choices: Choices) -> str:
    return choices.one(
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )


def _request_id(choices: Choices) -> str:
    return choices.one("a", "a" * 128, "a" * 129, "a\n", "\u0661")


def _other_header(choices: Choices) -> str:
    return "a" * 9000 if choices.rarely(20) else choices.latin()


_HEADERS: Mapping[str, Callable[[Choices], str]] = {
    "authorization": _authorization,
    "x-forwarded-client-cert": _forwarded_client_cert,
    "traceparent": _traceparent,
    "x-request-id": _request_id,
    "user-agent": _other_header,
    "other": _other_header,
}


def _header(choices: Choices) -> tuple[str, str]:
    name = choices.one(*_HEADERS)
    return name, _edited(choices, _HEADERS[name](choices))


def _edited(choices: Choices, text: str) -> str:
    return edited(text, choices.edits()) if choices.rarely(3) else text


def caller(choices: Choices) -> Json:
    """What a call may show of who makes it."""
    return {
        "method": choices.one(GET, LOOKUP, MERGE, UNLINK),
        "pool": choices.one(SHOP_POOL, OPS_POOL),
        "listener": choices.one(*LISTENERS),
        "metadata": choices.several(lambda: _header(choices), 4),
        "uris": choices.several(lambda: _uri(choices), 2),
        "dns_names": choices.several(lambda: _dns_name(choices), 2),
    }


_MEMBERS: Mapping[str, Json] = {
    "IdentityPoolId": SHOP_POOL,
    "Logins": {DEVELOPER: USERS[0]},
    "PrincipalTags": {TAG: "a"},
    "TokenDuration": 900,
    "DeveloperUserIdentifier": USERS[0],
    "DeveloperProviderName": DEVELOPER,
    "SourceUserIdentifier": USERS[0],
    "DestinationUserIdentifier": USERS[1],
    "MaxResults": 60,
}


def aws_json(choices: Choices) -> Json:
    """A request in AWS JSON that is signed; then some of its headers may be changed."""

    def header() -> Json:
        return choices.one("Authorization", "host", "X-Amz-Target", "Content-Type"), choices.edits()

    return {
        "operation": choices.one(GET, LOOKUP, MERGE, UNLINK),
        "body": _changed(choices, _MEMBERS, [*_MEMBERS, "IdentityId", "NextToken"]),
        "edits": choices.edits() if choices.rarely(3) else [],
        "headers": choices.several(header, 2) if choices.rarely(6) else [],
    }


#: What stands for the id of a pool that was made, and of a guest in it.
MADE_POOL, GUEST = "MADE-POOL", "GUEST"

_ROLE = "arn:aws:iam::123456789012:role/app"
_RULE = {"Claim": "sub", "MatchType": "Contains", "Value": "a", "RoleARN": _ROLE}
_MAPPING = {
    "Type": "Rules",
    "AmbiguousRoleResolution": "Deny",
    "RulesConfiguration": {"Rules": [_RULE]},
}
_PUBLIC = PROVIDERS[0]

_OTHER_MEMBERS: Mapping[str, Json] = {
    "IdentityPoolId": MADE_POOL,
    "IdentityId": GUEST,
    "IdentityPoolName": "made",
    "AllowUnauthenticatedIdentities": True,
    "AllowClassicFlow": True,
    "CognitoIdentityProviders": [{"ProviderName": _PUBLIC, "ClientId": "a", "ServerSideTokenCheck": True}],
    "DeveloperProviderName": "login.x",
    "IdentityPoolTags": {TAG: "a"},
    "Tags": {TAG: "b"},
    "TagKeys": [TAG],
    "ResourceArn": f"arn:aws:cognito-identity:eu-west-1:000000000000:identitypool/{MADE_POOL}",
    "Roles": {"authenticated": _ROLE, "unauthenticated": _ROLE},
    "RoleMappings": {_PUBLIC: _MAPPING},
    "IdentityProviderName": _PUBLIC,
    "PrincipalTags": {TAG: "sub"},
    "UseDefaults": False,
    "MaxResults": 10,
    "IdentityIdsToDelete": ["eu-west-1:1"],
    "HideDisabled": True,
}


def aws_operation(choices: Choices) -> Json:
    """A request of an operation that the contract does not have; texts within its members are changed too."""
    names = [*_OTHER_MEMBERS, "Logins", "LoginsToRemove", "CustomRoleArn", "NextToken", "AccountId"]
    return {
        "operation": choices.one(*(name for name in CognitoOperation if name != CognitoOperation.DELETE_IDENTITY_POOL)),
        "body": _changed(choices, _OTHER_MEMBERS, names),
        "edits": choices.edits() if choices.rarely(2) else [],
    }


_PARAMETERS_OF_STS: Mapping[str, str] = {
    "Action": "AssumeRoleWithWebIdentity",
    "Version": "2011-06-15",
    "RoleArn": _ROLE,
    "RoleSessionName": "fuzz",
    "WebIdentityToken": "a.b.c",
    "DurationSeconds": "900",
    "Policy": "{}",
    "PolicyArns.member.1.arn": _ROLE,
}


def sts_query(choices: Choices) -> Json:
    """A request of AssumeRoleWithWebIdentity whose parameters are changed, gone or there twice."""
    parameters = list(_PARAMETERS_OF_STS.items())
    for _ in range(choices.number(0, 3)):
        name = choices.text() if choices.rarely(8) else choices.one(*_PARAMETERS_OF_STS)
        parameters = [pair for pair in parameters if pair[0] != name or choices.rarely(4)]
        if not choices.rarely(3):
            parameters.append((name, choices.text(40)))
    return {
        "parameters": [list(pair) for pair in parameters],
        "edits": choices.edits() if choices.rarely(3) else [],
        "method": choices.one("POST", "GET"),
        "type": "application/json" if choices.rarely(12) else "application/x-www-form-urlencoded",
        "accept": choices.one("", "application/json", "*/*", choices.latin()),
    }


def aws_signature(choices: Choices) -> Json:
    """A request that is signed in its header or its query, and is changed then."""
    return {
        "is_presigned": bool(choices.number(0, 1)),
        "expires": choices.number(1, 604_800),
        "late": choices.one(0, 0, 299, 301, -301, 604_801),
        "target": choices.edits() if choices.rarely(2) else [],
        "headers": [
            [choices.one("host", "Content-Type", "X-Amz-Target", "Authorization"), choices.edits()]
            for _ in range(choices.number(0, 2))
        ],
        "more": [[choices.one("X-Amz-Security-Token", "X-Amz-Date", "authorization", "x-amz-x"), choices.latin()]]
        if choices.rarely(4)
        else [],
    }

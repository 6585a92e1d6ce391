"""The credentials of calls, and the requests of proxies."""

from collections.abc import Callable, Mapping

from tests.fuzz.choices import Choices, Json
from tests.fuzz.service import ADMIN, CHECKOUT, GET, KEY, LISTENERS, LOOKUP, MERGE, OPS_POOL, PROXY, SHOP_POOL, UNLINK
from tests.fuzz.tokens import edited


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
    """Returns headers that a proxy may have received with a request."""
    return "".join(
        choices.several(lambda: choices.made(lambda: _pair(choices), lambda: choices.one(",", ";", '"', "\\")), 8)
    )


def _own_element(choices: Choices) -> str:
    """Returns a proxy's header for a client certificate."""
    subject = choices.one("", 'Subject="";', 'Subject="CN=c";', r'Subject="CN=\",URI=x";', r'Subject="CN=a\\,O=b";')
    by = choices.one("", f"By={PROXY};")
    uris = "".join(f";URI={uri}" for uri in choices.several(lambda: choices.one(CHECKOUT, ADMIN, "", "https://a"), 2))
    dns_names = "".join(
        f";DNS={name}" for name in choices.several(lambda: choices.one("a.reader.example", "b.example", ""), 2)
    )
    return f"{by}By={PROXY};{subject}Hash=00ff{uris}{dns_names}"


def forwarded(choices: Choices) -> Json:
    """Returns the headers that a proxy received, and those that it adds."""
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
    """Returns the possible credentials of a call."""
    return {
        "method": choices.one(GET, LOOKUP, MERGE, UNLINK),
        "pool": choices.one(SHOP_POOL, OPS_POOL),
        "listener": choices.one(*LISTENERS),
        "metadata": choices.several(lambda: _header(choices), 4),
        "uris": choices.several(lambda: _uri(choices), 2),
        "dns_names": choices.several(lambda: _dns_name(choices), 2),
    }

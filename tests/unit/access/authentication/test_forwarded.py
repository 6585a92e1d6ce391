"""x-forwarded-client-cert: its grammar, which element counts, and which peers are trusted."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokend_server.access.authentication.forwarded import ForwardedCertificateAuthenticator, parse
from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.errors import CallerUnauthenticated

CHECKOUT = "spiffe://acme.internal/ns/shop/sa/checkout"
ADMIN = "spiffe://acme.internal/ns/ops/sa/admin"
PROXY = "spiffe://acme.internal/ns/mesh/sa/envoy"
HASH = "314a9d658a88a36ef82312085b29b23a58381be7cea1b972ede6a6fed5f759e1"

#: The output of Envoy 1.40 with `subject`, `uri` and `dns` for a certificate; Envoy's own one has two URI SANs.
BY = f"By={PROXY};By=spiffe://acme.internal/ns/mesh/sa/old;Hash={HASH}"
WRITTEN = {
    "a SPIFFE ID": (f'{BY};Subject="CN=c";URI={CHECKOUT};DNS=a.internal;DNS=b.internal', CHECKOUT),
    "no subject": (f'{BY};Subject="";URI={CHECKOUT}', CHECKOUT),
    "DNS names only": (f'{BY};Subject="CN=c";URI=;DNS=A.internal;DNS=b.internal', "dns:a.internal"),
    "an escaped subject": (
        rf'{BY};Subject="CN=c,O=Acme\, \"Inc\"\; x=y \\ \C3\A9";URI=https://x.test/a?b=c;DNS=a.internal',
        "dns:a.internal",
    ),
    "no SAN": (f'{BY};Subject="CN=c";URI=', None),
    "two SPIFFE IDs": (f'{BY};Subject="CN=c";URI={CHECKOUT};URI={ADMIN};DNS=a.internal', None),
    "nothing but a digest": (f"{BY}", None),
    "a certificate": (f'{BY};Cert="-----BEGIN%20CERTIFICATE-----%0AMII%3D%0A";Chain="x";URI={CHECKOUT}', CHECKOUT),
}

by_header = ForwardedCertificateAuthenticator([PROXY, "dns:*.mesh.internal"])


def from_proxy(*headers: str) -> PresentedCredentials:
    return PresentedCredentials(uris=(PROXY,), forwarded_client_certs=headers)


def from_socket(*headers: str) -> PresentedCredentials:
    return PresentedCredentials(unix_socket=True, forwarded_client_certs=headers)


def refusal(header: str) -> str:
    with pytest.raises(CallerUnauthenticated) as raised:
        by_header(from_socket(header))
    return raised.value.text


@pytest.mark.parametrize(("header", "name"), WRITTEN.values(), ids=WRITTEN)
def test_headers_of_envoy_name_the_caller(header: str, name: str | None) -> None:
    assert by_header(from_proxy(header)) == name
    assert by_header(from_socket(header)) == name


@pytest.mark.parametrize(("header", "name"), WRITTEN.values(), ids=WRITTEN)
def test_only_the_last_element_identifies_the_caller(header: str, name: str | None) -> None:
    assert by_header(from_proxy(f"URI={ADMIN},{header}")) == name
    assert by_header(from_proxy(f'By=x;Subject="CN=a,b;c";URI={ADMIN};DNS=admin.internal,URI={ADMIN},{header}')) == name


@pytest.mark.parametrize(
    ("header", "pairs"),
    [
        ("URI=a", [[("uri", "a")]]),
        ("uri=a;UrI=b;DNS=c;dns=d", [[("uri", "a"), ("uri", "b"), ("dns", "c"), ("dns", "d")]]),
        ('URI="a,b;c=d"', [[("uri", "a,b;c=d")]]),
        (r'Subject="a\"b\\c\,d"', [[("subject", r'a"b\c\,d')]]),
        (r'Subject="\\\"";URI=x', [[("subject", '\\"'), ("uri", "x")]]),
        (r"URI=a\b", [[("uri", r"a\b")]]),
        ('Subject="";URI=', [[("subject", ""), ("uri", "")]]),
        ('Hash="a",Hash=b', [[("hash", "a")], [("hash", "b")]]),
        ("URI=a=b", [[("uri", "a=b")]]),
    ],
)
def test_a_header_is_parsed_into_elements_of_pairs(header: str, pairs: list[list[tuple[str, str]]]) -> None:
    assert parse(header) == pairs


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        ";",
        "URI",
        CHECKOUT,
        f"={CHECKOUT}",
        f";URI={CHECKOUT}",
        f"URI={CHECKOUT};",
        f"URI={CHECKOUT};;DNS=a",
        f"URI={CHECKOUT},",
        f",URI={CHECKOUT}",
        f" URI={CHECKOUT}",
        f"URI={CHECKOUT}, URI={CHECKOUT}",
        f"URI ={CHECKOUT}",
        f"Hash=a; URI={CHECKOUT}",
        f'URI="{CHECKOUT}',
        f'URI={CHECKOUT}"',
        f'URI="{CHECKOUT}"x',
        f'URI="{CHECKOUT}" ',
        f'URI="{CHECKOUT}""',
        f'URI=x"{CHECKOUT}"',
        f'URI="{CHECKOUT}\\"',
        f"URI='a,b';DNS={CHECKOUT}",
        f"URI={CHECKOUT}\n",
        f"URI={CHECKOUT}\x00",
        f'Subject="\u00e9";URI={CHECKOUT}',
        f"Subject=\u00e9;URI={CHECKOUT}",
        f'Subject="\\\u00e9";URI={CHECKOUT}',
        f"SAN={CHECKOUT}",
        f"Other=x;URI={CHECKOUT}",
        f"Other=x,URI={CHECKOUT}",
        f"UR\u0130=x;URI={CHECKOUT}",
        f"Hash=a;Hash=b;URI={CHECKOUT}",
        f"Hash=a;HASH=a;URI={CHECKOUT}",
        f'Subject="a";subject="a";URI={CHECKOUT}',
        f"Cert=a;Cert=b;URI={CHECKOUT}",
        f"Chain=a;Chain=b;URI={CHECKOUT}",
        f"Hash=a;Hash=b,URI={CHECKOUT}",
        f'URI=http://x"y;DNS={CHECKOUT}',
        "URI=;DNS=a,b",
    ],
)
def test_a_malformed_header_is_rejected(header: str) -> None:
    assert refusal(header) == "The x-forwarded-client-cert header cannot be read."


@pytest.mark.parametrize(
    "subject", [f"CN=a;URI={ADMIN}", f"CN=a,URI={ADMIN}", rf"\";URI={ADMIN};Hash=\"", f"URI={ADMIN}"]
)
def test_a_uri_inside_a_quoted_subject_does_not_count(subject: str) -> None:
    assert by_header(from_proxy(f'{BY};Subject="{subject}";URI={CHECKOUT}')) == CHECKOUT
    assert by_header(from_proxy(f'{BY};Subject="{subject}"')) is None


@pytest.mark.parametrize("second", ["", WRITTEN["a SPIFFE ID"][0], f"URI={ADMIN}"])
def test_more_than_one_header_is_refused(second: str) -> None:
    with pytest.raises(CallerUnauthenticated, match="more than one x-forwarded-client-cert"):
        by_header(from_proxy(WRITTEN["a SPIFFE ID"][0], second))


@pytest.mark.parametrize(
    ("peer", "believed"),
    [
        (PresentedCredentials(uris=(PROXY,)), True),
        (PresentedCredentials(dns_names=("edge.mesh.internal",)), True),
        (PresentedCredentials(dns_names=("EDGE.mesh.internal",)), True),
        (PresentedCredentials(unix_socket=True), True),
        (PresentedCredentials(uris=("spiffe://acme.internal/none",), unix_socket=True), True),
        (PresentedCredentials(), False),
        (PresentedCredentials(uris=(CHECKOUT,)), False),
        (PresentedCredentials(uris=(PROXY + "-2",)), False),
        (PresentedCredentials(uris=(CHECKOUT,), dns_names=("edge.mesh.internal",)), False),
        (PresentedCredentials(uris=(PROXY, CHECKOUT)), False),
        (PresentedCredentials(dns_names=("a.internal", "edge.mesh.internal")), False),
        (PresentedCredentials(dns_names=("*.mesh.internal",)), False),
        (PresentedCredentials(dns_names=("edge.mesh.internal.evil.test",)), False),
    ],
)
def test_headers_are_accepted_only_from_unix_sockets_and_trusted_proxies(
    peer: PresentedCredentials, *, believed: bool
) -> None:
    presented = peer._replace(forwarded_client_certs=(f"URI={CHECKOUT}",))
    assert by_header(presented) == (CHECKOUT if believed else None)


def test_without_trusted_proxies_headers_are_accepted_only_from_unix_sockets() -> None:
    by_socket = ForwardedCertificateAuthenticator([])
    assert by_socket(from_socket(f"URI={CHECKOUT}")) == CHECKOUT
    assert by_socket(from_proxy(f"URI={CHECKOUT}")) is None


def test_a_proxy_without_the_header_names_no_caller() -> None:
    assert by_header(from_proxy()) is None
    assert by_header(from_socket()) is None


def test_an_invalid_pattern_of_trusted_proxies_is_refused() -> None:
    with pytest.raises(ValueError, match="stars"):
        ForwardedCertificateAuthenticator(["***"])


HEADERS = (
    st.text(max_size=80)
    | st.text('URIDNSHashBy=";,\\/ax', max_size=80)
    | st.sampled_from([h for h, _ in WRITTEN.values()])
)


@given(headers=st.lists(HEADERS, max_size=3), uris=st.sampled_from([(), (CHECKOUT,), (PROXY, PROXY), ("x",)]))
def test_a_header_from_an_untrusted_peer_is_ignored(headers: list[str], uris: tuple[str, ...]) -> None:
    assert by_header(PresentedCredentials(uris=uris, forwarded_client_certs=tuple(headers))) is None


@given(header=HEADERS)
def test_any_header_is_parsed_or_rejected(header: str) -> None:
    with suppress(CallerUnauthenticated):
        by_header(from_socket(header))


PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
KEYS = st.sampled_from(["By", "URI", "DNS", "uri", "dNs"])
ELEMENTS = st.builds(
    lambda single, repeated: [*single.items(), *repeated],
    st.dictionaries(st.sampled_from(["hash", "Cert", "CHAIN", "Subject"]), PRINTABLE),
    st.lists(st.tuples(KEYS, PRINTABLE), min_size=1, max_size=5),
)


def quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def serialized(elements: list[list[tuple[str, str]]]) -> str:
    return ",".join(";".join(f"{key}={quoted(value)}" for key, value in element) for element in elements)


@given(elements=st.lists(ELEMENTS, min_size=1, max_size=4))
def test_serialized_elements_are_parsed_again(elements: list[list[tuple[str, str]]]) -> None:
    assert parse(serialized(elements)) == [[(key.lower(), value) for key, value in element] for element in elements]


@given(
    prefix=st.text('URIDNS=";,\\ax', max_size=40) | HEADERS,
    written=st.sampled_from(
        [WRITTEN[name] for name in ("a SPIFFE ID", "no subject", "DNS names only", "a certificate")]
    ),
)
@example('By="x', WRITTEN["a SPIFFE ID"])
@example(f'URI={ADMIN};Subject="', WRITTEN["no subject"])
@example("By=x\\", WRITTEN["a SPIFFE ID"])
@example('By="x\\', WRITTEN["a SPIFFE ID"])
def test_a_clients_prefix_cannot_change_the_proxys_element(prefix: str, written: tuple[str, str]) -> None:
    header, name = written
    with suppress(CallerUnauthenticated):
        assert by_header(from_proxy(f"{prefix},{header}")) == name

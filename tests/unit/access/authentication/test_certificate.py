"""Names of callers by the SANs of their certificates (SPIFFE-ID and X509-SVID)."""

from string import ascii_letters, ascii_lowercase, digits

import pytest

from tokend_server.access.authentication.certificate import authenticate_by_certificate, caller_of
from tokend_server.access.authentication.presented import PresentedCredentials

CHECKOUT = "spiffe://acme.internal/ns/shop/sa/checkout"
LABEL = "a" * 63


def of_length(length: int) -> str:
    return "spiffe://acme.internal/".ljust(length, "x")


@pytest.mark.parametrize(
    "uri",
    [
        CHECKOUT,
        "spiffe://a/b",
        "spiffe://acme_2.internal-x/A.b_c-9/..." + "/.a/..b/a..",
        "spiffe://192.0.2.1/x",
        f"spiffe://{ascii_lowercase}.{digits}/{ascii_letters}{digits}",
        f"spiffe://{'a' * 255}/x",
        of_length(2048),
    ],
)
def test_a_spiffe_id_is_the_name(uri: str) -> None:
    assert caller_of([uri], []) == uri
    assert caller_of([uri], ["checkout.shop.internal"]) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://acme.internal",
        "spiffe://acme.internal/",
        "spiffe:///ns/shop",
        "spiffe:/acme.internal/shop",
        "spiffe:acme.internal/shop",
        "spiffe://acme.internal/shop/",
        "spiffe://acme.internal//shop",
        "spiffe://acme.internal/shop//checkout",
        "spiffe://acme.internal/.",
        "spiffe://acme.internal/..",
        "spiffe://acme.internal/./shop",
        "spiffe://acme.internal/shop/../admin",
        "spiffe://acme.internal/shop?a=b",
        "spiffe://acme.internal/shop?",
        "spiffe://acme.internal/shop#a",
        "spiffe://acme.internal:443/shop",
        "spiffe://acme.internal:/shop",
        "spiffe://user@acme.internal/shop",
        "spiffe://Acme.internal/shop",
        "SPIFFE://acme.internal/shop",
        "Spiffe://acme.internal/shop",
        "spiffe://acme.internal/sh%6Fp",
        "spiffe://acme.internal/sh op",
        "spiffe://acme.internal/sh*p",
        "spiffe://acme.internal/shop\n",
        "spiffe://acme.internal/sh\u00f6p",
        "spiffe://acme.internal/\u0661",
        "spiffe://acm\u00e9.internal/shop",
        f"spiffe://{'a' * 256}/x",
        of_length(2049),
    ],
)
def test_a_malformed_spiffe_id_names_no_caller_not_even_by_dns(uri: str) -> None:
    assert caller_of([uri], []) is None
    assert caller_of([uri], ["checkout.shop.internal"]) is None


@pytest.mark.parametrize(
    "uris",
    [
        [CHECKOUT, "spiffe://acme.internal/admin"],
        [CHECKOUT, CHECKOUT],
        [CHECKOUT, "https://checkout.internal"],
        ["https://checkout.internal", CHECKOUT],
        ["", CHECKOUT],
        ["https://checkout.internal", "SPIFFE://acme.internal/shop"],
    ],
)
def test_a_spiffe_id_beside_another_uri_names_no_caller_not_even_by_dns(uris: list[str]) -> None:
    assert caller_of(uris, []) is None
    assert caller_of(uris, ["checkout.shop.internal"]) is None


@pytest.mark.parametrize("uris", [[], [""], ["https://a.test/x"], ["https://a.test/x", "urn:b"], ["spiffe.test/x"]])
def test_without_a_spiffe_id_the_first_dns_name_is_the_name(uris: list[str]) -> None:
    assert caller_of(uris, ["checkout.shop.internal", "admin.internal"]) == "dns:checkout.shop.internal"
    assert caller_of(uris, []) is None


@pytest.mark.parametrize(
    ("dns_name", "name"),
    [
        ("Checkout.SHOP.internal", "dns:checkout.shop.internal"),
        ("checkout", "dns:checkout"),
        ("3com.test", "dns:3com.test"),
        (f"x{ascii_letters}0.x{digits}-z", f"dns:x{ascii_letters.lower()}0.x{digits}-z"),
        *((f"{character}.test", f"dns:{character.lower()}.test") for character in ascii_letters + digits),
        *((f"x{character}", f"dns:x{character.lower()}") for character in ascii_letters + digits),
        ("xn--bcher-kva.test", "dns:xn--bcher-kva.test"),
        (f"{LABEL}.{LABEL}.{LABEL}.{'a' * 61}", f"dns:{LABEL}.{LABEL}.{LABEL}.{'a' * 61}"),
    ],
)
def test_a_dns_name_is_reported_in_lower_case(dns_name: str, name: str) -> None:
    assert caller_of([], [dns_name]) == name


@pytest.mark.parametrize(
    "dns_name",
    [
        "",
        "*.shop.internal",
        "*",
        "a.*.internal",
        ".internal",
        "a..internal",
        "internal.",
        "-a.internal",
        "a-.internal",
        "a_b.internal",
        "a b.internal",
        "a.internal\n",
        "a/b",
        "a:b",
        "b\u00fccher.test",
        "\u212aube.internal",
        f"{LABEL}a.internal",
        f"{LABEL}.{LABEL}.{LABEL}.{'a' * 62}",
    ],
)
def test_a_first_dns_name_that_is_no_host_names_no_caller(dns_name: str) -> None:
    assert caller_of([], [dns_name, "checkout.shop.internal"]) is None


def test_only_the_certificate_identifies_the_caller() -> None:
    assert authenticate_by_certificate(PresentedCredentials(uris=(CHECKOUT,), dns_names=("a.internal",))) == CHECKOUT
    assert authenticate_by_certificate(PresentedCredentials(dns_names=("a.internal",))) == "dns:a.internal"
    forwarded = PresentedCredentials(unix_socket=True, forwarded_client_certs=(f"URI={CHECKOUT}",))
    assert authenticate_by_certificate(forwarded) is None

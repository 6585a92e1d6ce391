"""Bearer keys: their generation, their digests in the service, and their comparison."""

import hmac
import re

import pytest

from tokend_server.access.authentication.bearer_keys import BearerKeyAuthenticator
from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.callers.keys import check_digest, digest, new_key
from tokend_server.model import Secret


def key(number: int) -> Secret:
    return new_key(lambda count: bytes([number]) * count)


def call_with(*tokens: str) -> PresentedCredentials:
    return PresentedCredentials(authorization=tuple(Secret(f"Bearer {token}") for token in tokens))


def digests(*numbers: int) -> list[str]:
    return [digest(key(number)) for number in numbers]


def test_a_key_is_its_prefix_and_256_random_bits() -> None:
    assert new_key(lambda count: bytes(range(count))).reveal() == "tokend_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert re.fullmatch(r"tokend_[A-Za-z0-9_-]{43}", key(0xFF).reveal())


def test_a_digest_is_the_sha_256_of_the_whole_key() -> None:
    # printf %s tokend_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 | sha256sum
    text = "tokend_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert digest(Secret(text)) == "sha256:37aea23c404bc29303dc7f5d50317a1b8806c30c3be439d5025d1cc9d4abb050"


def test_a_known_key_names_its_caller() -> None:
    by_key = BearerKeyAuthenticator({"checkout": digests(1, 2), "batch": digests(3), "keyless": []})
    assert [by_key(call_with(key(number).reveal())) for number in (1, 2, 3)] == ["key:checkout"] * 2 + ["key:batch"]


def test_an_unknown_key_names_no_caller() -> None:
    by_key = BearerKeyAuthenticator({"checkout": digests(1)})
    assert by_key(call_with(key(9).reveal())) is None
    assert by_key(PresentedCredentials()) is None
    assert BearerKeyAuthenticator({})(call_with(key(1).reveal())) is None


@pytest.mark.parametrize(
    "token",
    ["", "secret", "eyJh.eyJp.c2ln", "tokend_", "tokend_" + "a" * 42, "tokend_" + "a" * 44, "TOKEND_" + "a" * 43],
)
def test_a_token_without_the_format_of_a_key_is_rejected(token: str) -> None:
    by_key = BearerKeyAuthenticator({"weak": [digest(Secret(token))]})
    assert by_key(call_with(token)) is None


def test_a_key_of_another_scheme_names_no_caller() -> None:
    by_key = BearerKeyAuthenticator({"checkout": digests(1)})
    assert by_key(PresentedCredentials(authorization=(Secret(f"Basic {key(1).reveal()}"),))) is None


def test_a_digest_is_not_accepted_as_a_key() -> None:
    by_key = BearerKeyAuthenticator({"checkout": digests(1)})
    (digest,) = digests(1)
    assert by_key(call_with(digest.removeprefix("sha256:"))) is None


@pytest.mark.parametrize("number", [1, 3, 5, 9])
def test_a_key_is_compared_with_every_digest_in_constant_time(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    by_key = BearerKeyAuthenticator({"first": digests(1, 2), "second": digests(3), "third": digests(4, 5)})
    compared: list[str] = []
    compare = hmac.compare_digest

    def counting(expected: str, presented: str) -> bool:
        compared.append(expected)
        return compare(expected, presented)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    by_key(call_with(key(number).reveal()))
    assert compared == digests(1, 2, 3, 4, 5)


MALFORMED = [
    "",
    "a" * 64,
    "sha256:",
    "sha256:" + "a" * 63,
    "sha256:" + "a" * 65,
    "sha256:" + "g" * 64,
    "sha256:" + "a" * 64 + "\n",
    " sha256:" + "a" * 64,
    "sha512:" + "a" * 64,
    "sha256:" + "\u0661" * 64,
    key(7).reveal(),
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_digest_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="sha256: and 64 hexadecimal digits") as raised:
        check_digest(text)
    with pytest.raises(ValueError, match=r"^digest 1 of checkout must be the digest of a key") as raised_by_way:
        BearerKeyAuthenticator({"batch": digests(1), "checkout": [*digests(2), text]})
    assert key(7).reveal() not in f"{raised.value} {raised_by_way.value}"


def test_the_hexadecimal_digits_of_a_digest_are_case_insensitive() -> None:
    (digest,) = digests(1)
    upper = "sha256:" + digest.removeprefix("sha256:").upper()
    assert check_digest(upper) == check_digest(digest) == digest
    assert BearerKeyAuthenticator({"checkout": [upper]})(call_with(key(1).reveal())) == "key:checkout"


@pytest.mark.parametrize(("first", "second"), [("batch", "checkout"), ("checkout", "batch")])
def test_a_digest_of_two_callers_is_refused(first: str, second: str) -> None:
    (shared,) = digests(2)
    for other in (shared, "sha256:" + shared.removeprefix("sha256:").upper()):
        with pytest.raises(ValueError, match=f"^digest 0 of {second} is also one of {first}$"):
            BearerKeyAuthenticator({first: digests(1, 2), second: [other]})


def test_a_digest_listed_twice_for_one_caller_is_accepted() -> None:
    assert BearerKeyAuthenticator({"checkout": digests(1, 1)})(call_with(key(1).reveal())) == "key:checkout"

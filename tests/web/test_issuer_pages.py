"""The issuer's documents are rendered once, and again when the keys change."""

from datetime import timedelta

from tokend_server.model import KeySet
from tokend_server.web.discovery import COGNITO_JWKS_PATH, DISCOVERY_PATH, JWKS_PATH, issuer_pages
from tokend_server.web.message import Page, Request, Response

ISSUER = "https://tokens.example/a"


class Keys:
    """The current keys; counts how often their document is read."""

    def __init__(self) -> None:
        self.now = KeySet(b'{"keys": [1]}', timedelta(seconds=300))
        self.read = 0

    def __call__(self) -> KeySet:
        self.read += 1
        return self.now


def ask(page: Page, method: str = "GET", **headers: str) -> Response:
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    answer = page(Request("", sent, method, peer="192.0.2.7"))
    assert isinstance(answer, Response)
    return answer


def etag_of(response: Response) -> str:
    (etag,) = [line for line in response.head.decode().split("\r\n") if line.startswith("etag: ")]
    return etag.removeprefix("etag: ")


def test_repeated_requests_share_one_rendered_response() -> None:
    for page in issuer_pages(ISSUER, ["ES256"], Keys()).values():
        whole = ask(page)
        assert all(ask(page) is whole for _ in range(10))
        not_modified = ask(page, if_none_match=etag_of(whole))
        assert not_modified.head.startswith(b"HTTP/1.1 304 Not Modified\r\n")
        assert all(ask(page, if_none_match="*") is not_modified for _ in range(10))


def test_new_keys_are_shown_at_once() -> None:
    keys = Keys()
    pages = issuer_pages(ISSUER, ["ES256"], keys)
    before = {path: ask(pages[path]) for path in pages}
    keys.now = KeySet(b'{"keys": [2]}', timedelta(seconds=60))
    for name in (JWKS_PATH, COGNITO_JWKS_PATH):
        page = pages[f"/a{name}"]
        etag = etag_of(before[f"/a{name}"])
        assert ask(page).body == b'{"keys": [2]}'
        assert ask(page, if_none_match=etag).body == b'{"keys": [2]}'
        assert b"max-age=60," in ask(page).head
    discovery = pages[f"/a{DISCOVERY_PATH}"]
    assert ask(discovery).body == before[f"/a{DISCOVERY_PATH}"].body
    assert b"max-age=60," in ask(discovery).head


def test_a_path_that_is_percent_encoded_is_found_as_requests_are_decoded() -> None:
    pages = issuer_pages("https://tokens.example/t%20%C3%A9", ["ES256"], Keys())
    assert f"/t \u00e9{JWKS_PATH}" in pages
    assert b'"jwks_uri": "https://tokens.example/t%20%C3%A9/' in ask(pages[f"/t \u00e9{DISCOVERY_PATH}"]).body


def test_fetches_of_the_keys_are_recorded() -> None:
    keys, noted = Keys(), list[tuple[KeySet, str, bytes]]()
    pages = issuer_pages(ISSUER, ["ES256"], keys, lambda *fetch: noted.append(fetch))
    for name in (JWKS_PATH, COGNITO_JWKS_PATH):
        page = pages[f"/a{name}"]
        etag = etag_of(ask(page, user_agent="envoy", x_forwarded_for="203.0.113.9"))
        ask(page, if_none_match=etag)
        ask(page, if_none_match='"older"', user_agent="istio")
        assert noted == [(keys.now, "192.0.2.7", agent) for agent in (b"envoy", b"", b"istio")]
        noted.clear()
        ask(page, method="HEAD", user_agent="envoy")
        ask(page, if_none_match="*", user_agent="envoy")
        ask(pages[f"/a{DISCOVERY_PATH}"], user_agent="envoy")
        assert noted == []

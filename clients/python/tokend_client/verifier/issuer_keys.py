"""The keys of an issuer: found by OpenID Connect Discovery 1.0, cached, and fetched again in the background."""

import http.client
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import jwt

from tokend_client import forks
from tokend_client.arguments import check_positive
from tokend_client.verifier import strict_json
from tokend_client.verifier.deadline_handlers import DeadlineHTTPHandler, DeadlineHTTPSHandler
from tokend_client.verifier.rejections import KeysUnavailable, TokenRejected

_LOGGER = logging.getLogger("tokend_client")

_DISCOVERY_PATH = "/.well-known/openid-configuration"
_MAX_DOCUMENT = 1 << 20
#: Seconds; a socket accepts no longer timeout.
_MAX_TIMEOUT = 2_147_483


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """The times of the key cache, in seconds.

    Attributes:
        refresh_after: The age at which keys are fetched again in the background.
        usable_for: How long keys that cannot be fetched again are used.
        pause: The minimum time between two fetches, regardless of tokens.
        timeout: The timeout of a whole response of the issuer; a fetch consists of two.

    Raises:
        ValueError: `refresh_after` or `pause` is negative, `usable_for` or `timeout` is not positive, or `timeout` is
            longer than 2,147,483 seconds.
    """

    refresh_after: float = 300.0
    usable_for: float = 86_400.0
    pause: float = 10.0
    timeout: float = 3.0

    def __post_init__(self) -> None:
        for name in ("refresh_after", "pause"):
            if not (value := getattr(self, name)) >= 0:
                raise ValueError(f"{name} must not be negative: {value}")
        check_positive(self.usable_for, "usable_for")
        if not 0 < self.timeout <= _MAX_TIMEOUT:
            raise ValueError(f"timeout must be positive, and at most {_MAX_TIMEOUT} seconds: {self.timeout}")


@dataclass(frozen=True, slots=True)
class _Held:
    keys: Mapping[str, jwt.PyJWK]
    fetched: float


class IssuerKeys:
    """The signing keys of one issuer, by `kid`. Thread-safe, and usable after a fork.

    Args:
        issuer: The issuer's URL, as in the tokens' `iss`.
        times: The times of the cache.
        environment_proxy: Use the proxy in the environment's variables.
        monotonic: A clock that is never set, in seconds.
    """

    def __init__(
        self,
        issuer: str,
        times: KeyTimes | None = None,
        *,
        environment_proxy: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        proxies = urllib.request.ProxyHandler(None if environment_proxy else {})
        self._opener = urllib.request.build_opener(DeadlineHTTPHandler, DeadlineHTTPSHandler, _NoRedirects, proxies)
        self._times = times or KeyTimes()
        self._monotonic = monotonic
        self._held = _Held({}, float("-inf"))
        self._fetching = threading.Lock()
        self._next_fetch = float("-inf")
        self._failed = False
        forks.register(self)

    def after_fork(self) -> None:
        """Lets the child process fetch keys: a thread that was fetching them does not exist in the child."""
        self._fetching = threading.Lock()

    def held(self, kid: str) -> jwt.PyJWK | None:
        """Returns the key if it is cached. It never waits, but may start a fetch in the background."""
        key = self._usable(kid)
        if key and self._age() >= self._times.refresh_after and self._monotonic() >= self._next_fetch:
            self._refresh()
        return key

    def find(self, kid: str) -> jwt.PyJWK:
        """Returns the key. It may wait until the keys are fetched.

        Raises:
            TokenRejected: The issuer does not publish it.
            KeysUnavailable: The issuer's keys are not available.
        """
        with self._fetching:
            # Another thread may have fetched it while this one waited.
            if key := self.held(kid):
                return key
            if self._monotonic() >= self._next_fetch:
                self._fetch()
            if key := self._usable(kid):
                return key
            if self._failed:
                raise KeysUnavailable("the issuer's keys cannot be fetched")
            raise TokenRejected("the token is signed with a key that its issuer does not publish")

    def _usable(self, kid: str) -> jwt.PyJWK | None:
        return self._held.keys.get(kid) if self._age() < self._times.usable_for else None

    def _age(self) -> float:
        return self._monotonic() - self._held.fetched

    def _refresh(self) -> None:
        if not self._fetching.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._fetch_and_release, name="tokend-issuer-keys", daemon=True).start()
        except RuntimeError as error:
            # For example at the limit of threads: the cached keys are still used.
            self._fetching.release()
            self._next_fetch = self._monotonic() + self._times.pause
            _LOGGER.warning("The keys of %s cannot be fetched: %s", self._issuer, error)

    def _fetch_and_release(self) -> None:
        try:
            self._fetch()
        finally:
            self._fetching.release()

    def _fetch(self) -> None:
        try:
            keys = _fetch_keys(self._issuer, partial(_fetch_document, self._opener, self._times.timeout))
        except (OSError, ValueError, RecursionError, http.client.HTTPException, jwt.PyJWTError) as error:
            self._failed = True
            _LOGGER.warning("The keys of %s cannot be fetched: %s", self._issuer, error)
        else:
            self._failed = False
            self._held = _Held(keys, self._monotonic())
        self._next_fetch = self._monotonic() + self._times.pause


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def keys_url(issuer: str, configuration: Mapping[str, Any]) -> str:
    """Returns the URL of the keys in a discovery document.

    Raises:
        ValueError: The document names another issuer, or has no `jwks_uri` that is as secure as the issuer's URL.
    """
    if configuration.get("issuer") != issuer:
        raise ValueError("the discovery document names another issuer")
    jwks_uri = configuration.get("jwks_uri")
    if not isinstance(jwks_uri, str) or urlsplit(jwks_uri).scheme not in {"https", urlsplit(issuer).scheme}:
        raise ValueError("the discovery document names no keys, or leads from https to http")
    return jwks_uri


def _fetch_keys(issuer: str, document: Callable[[str], dict[str, Any]]) -> dict[str, jwt.PyJWK]:
    configuration = document(issuer.removesuffix("/") + _DISCOVERY_PATH)
    listed = document(keys_url(issuer, configuration)).get("keys")
    if not isinstance(listed, list):
        raise ValueError("the key set contains no list of keys")  # noqa: TRY004 - of a document, not of an argument
    keys = jwt.PyJWKSet([jwk for jwk in listed if _is_readable(jwk)]).keys
    return {key.key_id: key for key in keys if key.key_id and key.public_key_use in {None, "sig"}}


def _is_readable(jwk: object) -> bool:
    """Returns whether PyJWT can read a key: it ignores unknown keys, but fails on members of the wrong type."""
    return isinstance(jwk, dict) and all(isinstance(jwk.get(name), str | None) for name in ("kid", "alg", "use"))


def _fetch_document(opener: urllib.request.OpenerDirector, timeout: float, url: str) -> dict[str, Any]:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"{url} is not an http or https URL")
    try:
        with opener.open(url, timeout=timeout) as response:
            content = response.read(_MAX_DOCUMENT + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    if len(content) > _MAX_DOCUMENT:
        raise ValueError(f"{url} is larger than {_MAX_DOCUMENT} octets")
    document = strict_json.loads(content)
    if not isinstance(document, dict):
        raise ValueError(f"{url} is not a JSON object")  # noqa: TRY004 - of a document, not of an argument
    return document

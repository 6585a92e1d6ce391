"""Checks the issuer's documents for the requirements of other clouds, by fetching them from this machine."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.keys.keyring import KeyState, SigningKey, key_state
from tokend_server.oidc.documents import VerificationKey, import_keys
from tokend_server.oidc.outbound import FetchFailed, IssuerHttp, require_secure_url

#: The timeout for each document, in seconds. Clouds do not document theirs; the client of a token exchange waits too.
FETCH_TIMEOUT = 5.0

_JSON = "application/json"

#: The allowed media types of the documents (OpenID Connect Discovery 1.0, section 4.2; RFC 7517, section 8.5.2).
_DISCOVERY_TYPES, _KEY_SET_TYPES = (_JSON,), (_JSON, "application/jwk-set+json")

#: The required provider metadata of an issuer without a login page (OpenID Connect Discovery 1.0, section 3).
_LISTS = ("response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported")


@dataclass(frozen=True, slots=True)
class IssuerFindings:
    """The result of a check.

    Attributes:
        problems: The problems that keep verifiers from using the keys, each in a sentence.
        notes: Results that may be different for clouds.
        keys: The number of usable keys.
    """

    problems: Sequence[str]
    notes: Sequence[str]
    keys: int


class IssuerCheck:
    """A check of one issuer.

    Args:
        issuer: The `iss` of its tokens, an https URL.
        algorithms: The signing algorithms of its pools.
        http: Makes the requests.
        clock: Measures their durations.
    """

    def __init__(self, issuer: str, algorithms: Collection[str], http: IssuerHttp, clock: Clock) -> None:
        self._issuer = issuer
        self._algorithms = algorithms
        self._http = http
        self._clock = clock
        self._problems: list[str] = []
        self._notes: list[str] = []

    def run(self, held: Sequence[SigningKey], missing_reason: str = "") -> IssuerFindings:
        """Fetches the discovery document and the keys, and compares the keys with the store's if it can."""
        keys = self._keys_at(self._discover())
        if missing_reason:
            self._problems.append(f"keys: cannot be compared with the store's: {missing_reason}")
        elif keys is not None:
            self._problems += _key_differences(keys, held, self._clock.now())
        return IssuerFindings(self._problems, list(dict.fromkeys(self._notes)), len(keys or ()))

    def _discover(self) -> str:
        """Returns the URL of the keys from the discovery document, or tokend's own if it has none."""
        default_url = f"{self._issuer}/.well-known/jwks.json"
        document = self._get_json(f"{self._issuer}/.well-known/openid-configuration", "discovery", _DISCOVERY_TYPES)
        if document is None:
            return default_url
        self._problems += _metadata_problems(document, self._issuer, self._algorithms)
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not url.startswith("https://") or not _is_secure(url):
            self._problems.append("discovery: jwks_uri must be an https URL without credentials")
            return default_url
        return url

    def _keys_at(self, url: str) -> Sequence[VerificationKey] | None:
        document = self._get_json(url, "keys", _KEY_SET_TYPES)
        if document is None:
            return None
        keys = import_keys(document, lambda reason: self._problems.append(f"keys: {reason}"))
        if not keys:
            self._problems.append("keys: the JWK Set has no key for RSA or ECDSA signatures")
        return keys

    def _get_json(self, url: str, what: str, media_types: Collection[str]) -> Mapping[str, Any] | None:
        deadline = Deadline(self._clock).within(FETCH_TIMEOUT)
        try:
            fetched = self._http.get(url, {"accept": ", ".join(media_types)}, deadline)
        except FetchFailed as failure:
            self._problems.append(f"{what}: {failure}")
            return None
        if fetched.from_internal:
            self._notes.append(f"{url} was fetched from an internal address, which clouds do not use")
        if fetched.media_type not in media_types:
            wanted, given = " or ".join(media_types), fetched.media_type or "nothing"
            self._problems.append(f"{what}: content-type must be {wanted}, and is {given}")
        try:
            document = json.loads(fetched.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            self._problems.append(f"{what}: must be a JSON object")
            return None
        return document


def _metadata_problems(document: Mapping[str, Any], issuer: str, algorithms: Collection[str]) -> Iterator[str]:
    named = document.get("issuer")
    if named != issuer:
        yield f"discovery: issuer must be {issuer}, letter by letter, and is {str(named)[:200]}"
    for name in _LISTS:
        value = document.get(name)
        if not isinstance(value, list) or not value:
            yield f"discovery: {name} must be a list"
        elif name.endswith("alg_values_supported") and (missing := sorted(set(algorithms) - set(map(str, value)))):
            yield f"discovery: {name} must have {', '.join(missing)}, which pools sign with"


def _key_differences(keys: Sequence[VerificationKey], held: Sequence[SigningKey], now: float) -> Iterator[str]:
    """Yields the differences between published keys and the store's, in which a key's id is its thumbprint."""
    published = {key.kid: key for key in keys}
    for key in held:
        found = published.pop(key.kid, None)
        state = key_state(key, held, now)
        if found is None:
            why = "a cache may be older than the key" if state is KeyState.PUBLISHED else "its tokens are refused"
            yield f"keys: {key.kid}, which is {state.value}, is in the store and not published there: {why}"
        elif found.thumbprint() != key.kid:
            yield f"keys: {key.kid} is a different key there than in the store"
        elif found.get("alg") not in {None, key.algorithm.value}:
            yield f"keys: {key.kid} is published for {found.get('alg')}, and signs with {key.algorithm.value}"
    for kid in published:
        yield f"keys: {kid} is published there and not in the store: another issuer answers, or an old cache"


def _is_secure(url: str) -> bool:
    try:
        require_secure_url(url)
    except ValueError:
        return False
    return True

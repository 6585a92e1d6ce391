"""The requirements of other clouds on issuers of OpenID Connect tokens, and their check for local pools."""

import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import urlsplit

from tokend_server.config.configuration import Config
from tokend_server.config.issuer_url import IAM_MAX_CHARACTERS
from tokend_server.hosts import is_internal_host
from tokend_server.model import pool_region


class Cloud(StrEnum):
    """A cloud that exchanges tokens of local pools for credentials."""

    AWS_STS = "aws-sts"
    ENTRA = "entra"
    GOOGLE = "google"


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedPool:
    """The properties of a local pool that are visible to other clouds.

    Attributes:
        identity_pool_id: The `aud` of its tokens.
        issuer: Their `iss`.
        algorithm: Their `alg`.
        longest_token: The maximum number of seconds from `iat` to `exp`.
        max_keys: The maximum number of keys of each family (`RSA`, `EC`) in the key set.
        fixed_tags: The tags that the configuration sets, by setting.
    """

    identity_pool_id: str
    issuer: str
    algorithm: str
    longest_token: int
    max_keys: Mapping[str, int]
    fixed_tags: Mapping[str, Mapping[str, str]]

    @property
    def longest_subject(self) -> int:
        """The maximum length of `sub` in octets: the pool's region, a colon, and a UUID."""
        return len(pool_region(self.identity_pool_id)) + len(":") + 36


def federated_pools(config: Config) -> Iterator[FederatedPool]:
    """Yields the local pools as other clouds see them."""
    pools = config.pools_of("local")
    max_keys = _max_keys(config, config.signing_algorithms)
    for identity_pool_id, pool in pools.items():
        yield FederatedPool(
            identity_pool_id=identity_pool_id,
            issuer=config.issuer.url or f"http://{config.issuer.listen}",
            algorithm=pool.signing_algorithm,
            longest_token=_longest_token(config, identity_pool_id),
            max_keys=max_keys,
            fixed_tags={
                f"sds.tokens.{name}.principal_tags": token.principal_tags
                for name, token in config.sds.tokens.items()
                if token.identity_pool_id == identity_pool_id and token.principal_tags
            },
        )


def _max_keys(config: Config, algorithms: Collection[str]) -> Mapping[str, int]:
    times = config.keys.times
    of_each = 2 + (times.publish_before + times.tokens_last) // times.rotate_every if times.rotate_every else 1
    families = ["EC" if algorithm.startswith("ES") else "RSA" for algorithm in algorithms]
    return {family: families.count(family) * of_each for family in ("RSA", "EC")}


def _longest_token(config: Config, identity_pool_id: str) -> int:
    if not config.policy:
        return config.keys.times.longest_token
    allowed = [
        row.max_token_duration_seconds for row in config.policy.values() if {identity_pool_id, "*"} & {*row.pools}
    ]
    return max(allowed, default=0)


#: Yields the problems of a pool by a rule, in the form `setting: what and why`.
Check = Callable[[FederatedPool], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A requirement of a cloud.

    Attributes:
        name: Its name, unique for each cloud.
        text: The rule.
        source: The page of the cloud's documentation.
        check: Yields the violations of a pool; None if the configuration does not show them and operators must check.
    """

    name: str
    text: str
    source: str
    check: Check | None = None


def _https(pool: FederatedPool) -> Iterator[str]:
    if urlsplit(pool.issuer).scheme != "https":
        yield f"issuer.url: must be https, and the issuer is {pool.issuer}"


def _public_host(pool: FederatedPool) -> Iterator[str]:
    host = (urlsplit(pool.issuer).hostname or "").removesuffix(".")
    if is_internal_host(host) or ("." not in host and ":" not in host) or host.endswith(_PRIVATE_DOMAINS):
        yield f"issuer.url: must have a host that the internet can reach to fetch keys, unlike {host}"


#: Domains that are not in the public DNS (RFC 6761, RFC 6762, RFC 8375, and ICANN's for private use).
_PRIVATE_DOMAINS = (".home.arpa", ".internal", ".invalid", ".local", ".localhost", ".test")


def _no_port(pool: FederatedPool) -> Iterator[str]:
    if urlsplit(pool.issuer).port is not None:
        yield "issuer.url: must have no port: IAM registers no issuer with one"


def _lower_case(pool: FederatedPool) -> Iterator[str]:
    netloc = urlsplit(pool.issuer).netloc
    if netloc != netloc.lower():
        yield "issuer.url: must have its host in lower case: it is compared as text with the registered URL"


def _issuer_of(maximum: int) -> Check:
    def check(pool: FederatedPool) -> Iterator[str]:
        if len(pool.issuer) > maximum:
            yield f"issuer.url: must have {maximum} characters at most, and has {len(pool.issuer)}"

    return check


def _audience_of(maximum: int) -> Check:
    def check(pool: FederatedPool) -> Iterator[str]:
        if len(pool.identity_pool_id) > maximum:
            yield f"id: must have {maximum} characters at most as `aud`, and has {len(pool.identity_pool_id)}"

    return check


def _subject_of(maximum: int) -> Check:
    def check(pool: FederatedPool) -> Iterator[str]:
        if pool.longest_subject > maximum:
            yield (
                f"id: identity ids, which are `sub`, must have {maximum} octets at most, and have "
                f"{pool.longest_subject}"
            )

    return check


def _signed_by(*algorithms: str) -> Check:
    def check(pool: FederatedPool) -> Iterator[str]:
        if pool.algorithm not in algorithms:
            yield f"signing_algorithm: must be {' or '.join(algorithms)}, and is {pool.algorithm}"

    return check


def _valid_for_less_than(seconds: int) -> Check:
    def check(pool: FederatedPool) -> Iterator[str]:
        if pool.longest_token >= seconds:
            yield f"policy: max_token_duration_seconds must be below {seconds}, and allows {pool.longest_token}"

    return check


def _keys_of_a_family(maximum: int) -> Check:
    def check(pool: FederatedPool) -> Iterator[str]:
        for family, keys in pool.max_keys.items():
            if keys > maximum:
                yield f"keys.rotate_every: the key set must have {maximum} {family} keys at most, and may have {keys}"

    return check


def _tags(pool: FederatedPool) -> Iterator[str]:
    for setting, tags in pool.fixed_tags.items():
        if invalid := sorted(key for key, value in tags.items() if not _is_tag_text(key) or not _is_tag_text(value)):
            yield f"{setting}: must have letters, digits, blanks and _.:/=+-@ alone, unlike {', '.join(invalid)}"


def _is_tag_text(text: str) -> bool:
    """Returns whether a text has only letters, separators, numbers and the signs in the pattern of STS's `Tag`."""
    return all(character in "_.:/=+-@" or unicodedata.category(character)[0] in "LZN" for character in text)


_STS = "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html"
_IAM = "https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html"
_IAM_GUIDE = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html"
_TAGS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html"
_ENTRA = "https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation-considerations"
_ENTRA_OVERVIEW = "https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation"
_GOOGLE = "https://cloud.google.com/iam/docs/workload-identity-federation-with-other-providers"
_GOOGLE_STS = "https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token"
_GOOGLE_PROVIDERS = (
    "https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers"
)

_AWS_RULES = (
    Rule("https", "the issuer is https", _IAM, _https),
    Rule("public host", "AWS reaches the issuer's host", _IAM_GUIDE, _public_host),
    Rule("port", "the issuer has no port", _IAM, _no_port),
    Rule("small letters", "the host is in small letters", _IAM_GUIDE, _lower_case),
    Rule("issuer", f"the issuer has {IAM_MAX_CHARACTERS} characters at most", _IAM, _issuer_of(IAM_MAX_CHARACTERS)),
    Rule("aud", "`aud`, a client id there, has 255 characters at most", _IAM, _audience_of(255)),
    Rule("sub", "`sub` has 255 characters at most", _STS, _subject_of(255)),
    Rule(
        "algorithm",
        "tokens are signed by RS256, RS384, RS512, ES256, ES384 or ES512",
        _STS,
        _signed_by("RS256", "RS384", "RS512", "ES256", "ES384", "ES512"),
    ),
    Rule("keys", "the key set has 100 RSA keys and 100 EC keys at most", _IAM_GUIDE, _keys_of_a_family(100)),
    Rule("tags", "session tags have letters, digits, blanks and _.:/=+-@ alone", _TAGS, _tags),
    Rule("packed tags", "session tags are refused that are too large in all, by a limit of STS's own", _TAGS),
    Rule("size", "a token has 20000 characters at most: many session tags may exceed it", _STS),
    Rule("keys reached", "AWS fetches discovery and keys, within seconds and by a public certificate", _IAM_GUIDE),
)

_ENTRA_RULES = (
    Rule("https", "the issuer is https", _ENTRA_OVERVIEW, _https),
    Rule("public host", "Entra reaches the issuer's host", _ENTRA_OVERVIEW, _public_host),
    Rule("issuer", "the issuer has 600 characters at most", _ENTRA, _issuer_of(600)),
    Rule("aud", "`aud` has 600 characters at most", _ENTRA, _audience_of(600)),
    Rule("sub", "`sub` has 600 characters at most", _ENTRA, _subject_of(600)),
    Rule("algorithm", "tokens are signed by RS256", _ENTRA, _signed_by("RS256")),
    Rule("small letters", "the host is in small letters", _ENTRA_OVERVIEW, _lower_case),
    Rule("one sub each", "each `sub` is registered as it is, 20 at most for an application, no wildcards", _ENTRA),
    Rule("keys reached", "Entra fetches discovery and keys behind the issuer", _ENTRA_OVERVIEW),
)

_GOOGLE_RULES = (
    Rule("https", "the issuer is https", _GOOGLE, _https),
    Rule("public host", "Google reaches the issuer's host", _GOOGLE, _public_host),
    Rule("small letters", "the host is in small letters", _GOOGLE_STS, _lower_case),
    Rule("aud", "`aud`, an allowed audience, has 256 characters at most", _GOOGLE_PROVIDERS, _audience_of(256)),
    Rule("sub", "`sub`, as google.subject, has 127 octets at most", _GOOGLE_PROVIDERS, _subject_of(127)),
    Rule("algorithm", "tokens are signed by RS256 or ES256", _GOOGLE_STS, _signed_by("RS256", "ES256")),
    Rule("lifetime", "`exp` is less than 48 hours after `iat`", _GOOGLE_STS, _valid_for_less_than(48 * 3600)),
    Rule("keys reached", "Google fetches discovery and keys by https, with no self-signed certificate", _GOOGLE),
)

#: The rules of each cloud. `iat`, `exp` and `kid`, which all clouds require, are in every token.
RULES: Mapping[Cloud, Sequence[Rule]] = MappingProxyType(
    {Cloud.AWS_STS: _AWS_RULES, Cloud.ENTRA: _ENTRA_RULES, Cloud.GOOGLE: _GOOGLE_RULES}
)


def federation_problems(config: Config, clouds: Sequence[Cloud]) -> Sequence[str]:
    """Returns all violations of the clouds' rules, as `setting: what and why (cloud: source)`."""
    if clouds and not config.pools_of("local"):
        return [f"pools: none is local, and those of Cognito are AWS's to federate: nothing to check for {clouds[0]}"]
    problems = (
        f"{_of_pool(pool, problem)} ({cloud}: {rule.source})"
        for cloud in clouds
        for rule in RULES[cloud]
        for pool in federated_pools(config)
        for problem in (rule.check(pool) if rule.check else ())
    )
    return list(dict.fromkeys(problems))


def checked_federation_rules(clouds: Sequence[Cloud]) -> Iterator[str]:
    """Yields the rules that were checked if there are no problems, and those that were not, one line each."""
    for cloud in clouds:
        for rule in RULES[cloud]:
            yield f"{cloud}: {'checked' if rule.check else 'not checked'}: {rule.text} ({rule.source})"


#: The settings of a pool itself.
_SETTINGS_OF_POOLS = ("id:", "signing_algorithm:")


def _of_pool(pool: FederatedPool, problem: str) -> str:
    if not problem.startswith(_SETTINGS_OF_POOLS):
        return problem
    return f'pools."{pool.identity_pool_id}".{problem}'

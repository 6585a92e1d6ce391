"""The URL that becomes the `iss` of tokens: its validation, and warnings about others' restrictions."""

import re
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from tokend_server.config.fields import provider_issuer
from tokend_server.hosts import is_loopback

#: The domains of AWS's services, in all partitions.
AWS_DOMAINS = (
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "api.amazonwebservices.com.cn",
    "api.amazonwebservices.eu",
    "api.aws",
    "api.aws.hci.ic.gov",
    "api.aws.ic.gov",
    "api.aws.scloud",
    "api.cloud-aws.adc-e.uk",
    "c2s.ic.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
    "sc2s.sgov.gov",
)

#: The maximum length in characters of an OpenID Connect provider's URL in IAM (CreateOpenIDConnectProvider, Url).
IAM_MAX_CHARACTERS = 255

_COGNITO = re.compile(r"(?:^|\.)cognito-(?:identity|idp)(?:[.-]|$)")
_URL_CHARACTERS = re.compile(r"[\w.~:/\[\]@!$&'()*+,;=%-]+", re.ASCII)


def _issuer_url(url: str) -> str:
    if url.endswith("/"):
        raise ValueError("must not end with a slash, because verifiers compare it with `iss` character by character")
    provider_issuer(url)
    if not _URL_CHARACTERS.fullmatch(url):
        raise ValueError("must have only the characters of a URL, others percent-encoded")
    if {".", ".."} & set(urlsplit(url).path.split("/")):
        raise ValueError("must have no dot segments in its path, which verifiers would resolve")
    if _is_cognito_issuer(urlsplit(url).hostname or ""):
        raise ValueError("must not be one of Amazon Cognito's: local tokens must not look like AWS's")
    return url


def _is_cognito_issuer(host: str) -> bool:
    host = host.removesuffix(".").lower()
    return any(
        host.endswith(f".{domain}") and _COGNITO.search(host.removesuffix(f".{domain}")) for domain in AWS_DOMAINS
    )


def issuer_warnings(url: str) -> Iterator[str]:
    """Yields the reasons for which IAM or STS would refuse an issuer that others may accept."""
    parts = urlsplit(url)
    if parts.scheme != "https":
        yield "IAM accepts only https"
    if parts.port is not None:
        yield "IAM accepts no issuer with a port"
    if len(url) > IAM_MAX_CHARACTERS:
        yield f"IAM accepts at most {IAM_MAX_CHARACTERS} characters, and these are {len(url)}"
    if parts.netloc != parts.netloc.lower():
        yield "has upper case in its host: IAM and STS compare it as text, and clients may write hosts in lower case"
    if parts.scheme == "https" and is_loopback(parts.hostname or ""):
        yield "AWS fetches the keys from the issuer, and cannot reach this host"


#: The URL of the service's own issuer.
IssuerUrl = Annotated[str, AfterValidator(_issuer_url)]

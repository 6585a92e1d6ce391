"""The URL that becomes the `iss` of tokens: what it may not say, and what others would not take."""

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

#: Characters of an OpenID Connect provider's URL in IAM (CreateOpenIDConnectProvider, Url).
IAM_MOST_CHARACTERS = 255

_COGNITO = re.compile(r"(?:^|\.)cognito-(?:identity|idp)(?:[.-]|$)")
_URL_CHARACTERS = re.compile(r"[\w.~:/\[\]@!$&'()*+,;=%-]+", re.ASCII)


def _issuer_url(url: str) -> str:
    if url.endswith("/"):
        raise ValueError("must have no slash at its end, since verifiers compare it with `iss` letter by letter")
    provider_issuer(url)
    if not _URL_CHARACTERS.fullmatch(url):
        raise ValueError("must have the characters of a URL alone, others percent-encoded")
    if {".", ".."} & set(urlsplit(url).path.split("/")):
        raise ValueError("must have no dot segments in its path, which verifiers would resolve")
    if _claims_to_be_cognito(urlsplit(url).hostname or ""):
        raise ValueError("must not be one of Amazon Cognito's: a local token must not pass for AWS's")
    return url


def _claims_to_be_cognito(host: str) -> bool:
    host = host.removesuffix(".").lower()
    return any(
        host.endswith(f".{domain}") and _COGNITO.search(host.removesuffix(f".{domain}")) for domain in AWS_DOMAINS
    )


def issuer_warnings(url: str) -> Iterator[str]:
    """Why IAM or STS would refuse an issuer that others may take."""
    parts = urlsplit(url)
    if parts.scheme != "https":
        yield "IAM takes https alone"
    if parts.port is not None:
        yield "IAM takes no issuer with a port"
    if len(url) > IAM_MOST_CHARACTERS:
        yield f"IAM takes {IAM_MOST_CHARACTERS} characters at most, and these are {len(url)}"
    if parts.netloc != parts.netloc.lower():
        yield "has capitals in its host: IAM and STS compare it as text, and clients may write hosts in small letters"
    if parts.scheme == "https" and is_loopback(parts.hostname or ""):
        yield "AWS fetches the keys from the issuer, and cannot reach this host"


#: The URL of an issuer of one's own.
IssuerUrl = Annotated[str, AfterValidator(_issuer_url)]

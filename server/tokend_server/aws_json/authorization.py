"""The `Authorization` header of AWS Signature Version 4."""

import re
from typing import NamedTuple

from tokend_server.aws_json.errors import AwsError, incomplete_signature, invalid_signature

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"

_PARAMETERS = ("Credential", "SignedHeaders", "Signature")


class Credential(NamedTuple):
    """The signer and the scope of a signature.

    Attributes:
        access_key_id: The signer's access key.
        date: The date of the signature in UTC, YYYYMMDD.
        region: The AWS Region.
        service: The service name.
    """

    access_key_id: str
    date: str
    region: str
    service: str


class Authorization(NamedTuple):
    """The contents of the header.

    Attributes:
        credential: The signer and the scope.
        signed_headers: The names of the signed headers.
        signature: 64 hexadecimal digits.
    """

    credential: Credential
    signed_headers: tuple[str, ...]
    signature: str


def parse_authorization(header: str | None) -> Authorization:
    """Parses the header's value in the canonical form of `canonical_headers`; None if there is no header.

    Raises:
        AwsError: MissingAuthenticationTokenException, or IncompleteSignatureException for a header of another form.
    """
    if not header:
        raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token")
    algorithm, _, rest = header.partition(" ")
    if algorithm != ALGORITHM:
        raise incomplete_signature(f"Authorization header requires the algorithm '{ALGORITHM}'.")
    given = [part.strip(" ").partition("=")[::2] for part in rest.split(",")]
    parameters = dict(given)
    missing = [name for name in _PARAMETERS if not parameters.get(name)]
    if missing:
        raise incomplete_signature(" ".join(f"Authorization header requires '{name}' parameter." for name in missing))
    if len(given) != len(_PARAMETERS):
        raise incomplete_signature("Authorization header has too many parameters.")
    return read_authorization(*(parameters[name] for name in _PARAMETERS))


def read_authorization(credential: str, signed_headers: str, signature: str) -> Authorization:
    """Parses the three parts of a signature.

    Raises:
        AwsError: IncompleteSignatureException, or InvalidSignatureException.
    """
    return Authorization(_credential(credential), tuple(signed_headers.split(";")), _signature(signature))


def _credential(text: str) -> Credential:
    parts = text.split("/")
    if len(parts) != 5 or not all(parts):  # noqa: PLR2004 - as in the text below
        raise incomplete_signature(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
        )
    access_key_id, date, region, service, terminator = parts
    if terminator != TERMINATOR:
        raise invalid_signature(f"Credential should be scoped with a valid terminator: '{TERMINATOR}'.")
    return Credential(access_key_id, date, region, service)


def _signature(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise incomplete_signature("Signature must be 64 hexadecimal digits.")
    return text

"""Signatures in the query of a request, as in presigned URLs.

IAM User Guide, "Create a signed AWS API request".
"""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from tokend_server.aws_json.authorization import ALGORITHM, Authorization, read_authorization
from tokend_server.aws_json.errors import AwsError, incomplete_signature
from tokend_server.model import Secret

#: The parameter with the signature, the only one that is not signed.
_SIGNATURE = "X-Amz-Signature"

#: The required parameters, in the order in which AWS reports missing ones.
_REQUIRED = ("X-Amz-Algorithm", "X-Amz-Credential", _SIGNATURE, "X-Amz-SignedHeaders", "X-Amz-Date")

_MAX_PARAMETERS = 64

_MAX_LIFETIME = 604_800


class Presigned(NamedTuple):
    """The contents of a presigned request's query.

    Attributes:
        authorization: The signer, the signed headers and the signature.
        stamp: The time of the signature, as it was signed.
        lifetime: The lifetime of the signature, if there is one.
        session_token: The session token of temporary credentials.
    """

    authorization: Authorization
    stamp: str
    lifetime: timedelta | None
    session_token: Secret | None


class Query:
    """The query of a request.

    Args:
        text: The part after the question mark, as it arrived.
    """

    def __init__(self, text: str) -> None:
        pairs = [part.partition("=")[::2] for part in text.split("&", _MAX_PARAMETERS) if part]
        self._pairs = [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, value in pairs]

    @property
    def canonical(self) -> str:
        """Returns its canonical form in Signature Version 4: sorted, without the signature."""
        written = ((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in self._pairs)
        return "&".join(f"{name}={value}" for name, value in sorted(written) if name != _SIGNATURE)

    @property
    def is_presigned(self) -> bool:
        """Whether it has parameters of a signature."""
        return any(name == b"X-Amz-Algorithm" for name, _ in self._pairs)

    def presigned(self) -> Presigned:
        """Parses the signature.

        Raises:
            AwsError: IncompleteSignatureException.
        """
        values: Mapping[str, str] = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._pairs}
        own = [name for name, _ in self._pairs if name.startswith(b"X-Amz-")]
        missing = [name for name in _REQUIRED if not values.get(name)]
        if missing or len(own) != len({*own}):
            raise _incomplete(missing)
        if values["X-Amz-Algorithm"] != ALGORITHM:
            raise incomplete_signature(f"Unsupported AWS 'algorithm': '{values['X-Amz-Algorithm']}'.")
        signed = values["X-Amz-SignedHeaders"]
        return Presigned(
            read_authorization(values["X-Amz-Credential"], signed, values[_SIGNATURE]),
            values["X-Amz-Date"],
            _lifetime(values.get("X-Amz-Expires")),
            Secret(token) if (token := values.get("X-Amz-Security-Token")) is not None else None,
        )


def _incomplete(missing: Iterable[str]) -> AwsError:
    texts = [f"AWS query-string parameters must include '{name}'." for name in missing]
    return incomplete_signature(" ".join([*texts, "Re-examine the query-string parameters."]))


def _lifetime(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,10}", text):
        raise incomplete_signature("X-Amz-Expires should be a number")
    seconds = int(text)
    if seconds < 1:
        raise incomplete_signature("X-Amz-Expires must be at least 1 second")
    if seconds > _MAX_LIFETIME:
        why = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than"
        raise incomplete_signature(f"{why} {_MAX_LIFETIME} seconds")
    return timedelta(seconds=seconds)

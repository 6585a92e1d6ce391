"""Verifies AWS Signature Version 4 of AWS JSON requests ("Create a signed AWS API request", IAM User Guide).

Errors have AWS's own names.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from tokend_server.aws_json.authorization import ALGORITHM, TERMINATOR, Credential, parse_authorization
from tokend_server.aws_json.errors import AwsError, incomplete_signature, invalid_signature
from tokend_server.aws_json.presigned import Presigned, Query
from tokend_server.clock import Clock
from tokend_server.model import Secret

_MAX_SKEW = timedelta(minutes=5)
_DATE_FORMAT = "%Y%m%dT%H%M%SZ"
_ALWAYS_SIGNED = frozenset({"host"})

_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


class SignatureVerifier:
    """Identifies the signer of a request, for known access keys.

    Args:
        credentials: Secret access keys by access key id.
        clock: The clock for the dates of signatures.
        service: The service name in the scope of signatures.
        session_tokens: The session tokens of temporary credentials, by access key id.
    """

    def __init__(
        self,
        credentials: Mapping[str, Secret],
        clock: Clock,
        service: str = "cognito-identity",
        session_tokens: Mapping[str, Secret] = MappingProxyType({}),
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._service = service
        self._session_tokens = session_tokens

    def verify(self, method: str, query: str, values: Mapping[str, str], body: bytes) -> Credential:
        """Verifies the signature of a request to the path `/`, in its header or in its query.

        Args:
            method: The HTTP method.
            query: The part after the question mark, as it arrived.
            values: All headers in the form of `canonical_headers`.
            body: The body as it arrived.

        Returns:
            The signer, and the date, the Region and the service of the signature. The Region is not checked.

        Raises:
            AwsError: MissingAuthenticationTokenException, IncompleteSignatureException, UnrecognizedClientException
                or InvalidSignatureException.
        """
        asked = Query(query)
        signature = _presigned(asked, values) if asked.is_presigned else _in_header(values)
        authorization, stamp = signature.authorization, signature.stamp
        signed_at = _date(stamp)
        self._check_scope(authorization.credential, stamp)
        self._check_time(signed_at, signature.lifetime)
        secret_key = self._secret_key(authorization.credential.access_key_id, signature.session_token)
        _check_signed_headers(authorization.signed_headers, values)
        request = _canonical_request(method, asked.canonical, values, authorization.signed_headers, body)
        expected = _signature(secret_key, authorization.credential, stamp, request)
        if not hmac.compare_digest(expected, authorization.signature):
            raise invalid_signature(_MISMATCH)
        return authorization.credential

    def _check_scope(self, credential: Credential, stamp: str) -> None:
        if credential.date != stamp[:8]:
            raise invalid_signature(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                f"'{credential.date}' != '{stamp[:8]}', from '{stamp}'."
            )
        if credential.service != self._service:
            raise invalid_signature(f"Credential should be scoped to correct service: '{self._service}'.")

    def _check_time(self, signed_at: datetime, lifetime: timedelta | None) -> None:
        now = datetime.fromtimestamp(int(self._clock.now()), UTC)
        earliest, latest = now - (lifetime or _MAX_SKEW), now + _MAX_SKEW
        if signed_at < earliest:
            raise invalid_signature(
                f"Signature expired: {signed_at:{_DATE_FORMAT}} is now earlier than "
                f"{earliest:{_DATE_FORMAT}} ({now:{_DATE_FORMAT}} - {_format_span(now - earliest)})"
            )
        if signed_at > latest:
            raise invalid_signature(
                f"Signature not yet current: {signed_at:{_DATE_FORMAT}} is still later than "
                f"{latest:{_DATE_FORMAT}} ({now:{_DATE_FORMAT}} + 5 min.)"
            )

    def _secret_key(self, access_key_id: str, session_token: Secret | None) -> Secret:
        secret_key = self._credentials.get(access_key_id)
        expected = self._session_tokens.get(access_key_id)
        if secret_key is None or not _equal_secrets(expected, session_token):
            raise AwsError("UnrecognizedClientException", "The security token included in the request is invalid.")
        return secret_key


def _equal_secrets(expected: Secret | None, given: Secret | None) -> bool:
    if expected is None or given is None:
        return expected is None and given is None
    return hmac.compare_digest(expected.reveal().encode(), given.reveal().encode())


def _in_header(values: Mapping[str, str]) -> Presigned:
    authorization = parse_authorization(values.get("authorization"))
    return Presigned(authorization, values.get("x-amz-date", ""), None, _session_token(values))


def _presigned(query: Query, values: Mapping[str, str]) -> Presigned:
    if "authorization" in values:
        raise invalid_signature(
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
        )
    presigned = query.presigned()
    if presigned.session_token is None:  # it may be added to a request after signing
        return presigned._replace(session_token=_session_token(values))
    return presigned


def _session_token(values: Mapping[str, str]) -> Secret | None:
    token = values.get("x-amz-security-token")
    return None if token is None else Secret(token)


def _format_span(span: timedelta) -> str:
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    return f"{span.total_seconds():.0f} sec." if seconds else f"{minutes} min."


def _date(stamp: str) -> datetime:
    try:
        date = datetime.fromisoformat(stamp)
    except ValueError:
        date = None
    if date is None or f"{date:{_DATE_FORMAT}}" != stamp:  # the parser accepts several forms
        raise incomplete_signature(
            "Authorization header requires existence of a 'X-Amz-Date' header in ISO-8601 'basic format'."
        )
    return date


def _check_signed_headers(signed: tuple[str, ...], values: Mapping[str, str]) -> None:
    required = {name for name in values if name.startswith("x-amz-")} | _ALWAYS_SIGNED
    for name in sorted(required.difference(signed)):
        raise invalid_signature(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    if not values.keys() >= set(signed):
        raise invalid_signature(_MISMATCH)


def _canonical_request(method: str, query: str, values: Mapping[str, str], signed: Iterable[str], body: bytes) -> bytes:
    lines = [method, "/", query, *(f"{name}:{values[name]}" for name in signed), "", ";".join(signed)]
    return "\n".join([*lines, hashlib.sha256(body).hexdigest()]).encode("latin-1")


def _signature(secret_key: Secret, credential: Credential, stamp: str, canonical_request: bytes) -> str:
    scope = (credential.date, credential.region, credential.service, TERMINATOR)
    text = "\n".join([ALGORITHM, stamp, "/".join(scope), hashlib.sha256(canonical_request).hexdigest()])
    key = f"AWS4{secret_key.reveal()}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()

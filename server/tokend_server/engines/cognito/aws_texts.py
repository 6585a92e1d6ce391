"""AWS's error texts: removes secrets from them, and parses them for the details of the contract's errors."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from tokend_server.errors import FieldViolation, ResourceNotFound
from tokend_server.model import Secret

#: The maximum length of AWS's texts that are passed on, in characters.
MAX_TEXT = 1024

_MAX_VIOLATIONS = 10
_MAX_CONSTRAINT = 160
_MASK = "***"

#: Secrets of at least this length are masked wherever they occur, shorter ones only as whole words.
_DISTINCTIVE = 4

#: A JWT, or the beginning of a truncated one: base64url of `{"`.
_JWT = re.compile(r"eyJ[\w.-]{8,}")

# Replaced one to one, so that separate texts are not joined. JSON can contain lone surrogates, which UTF-8 cannot.
_CONTROL_CHARACTERS = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
_SURROGATES = range(0xD800, 0xE000)
_TO_SPACE = dict.fromkeys((*_CONTROL_CHARACTERS, *_SURROGATES), " ")

_ID = r"[\w-]+:[0-9a-f-]+"
_NAMED_RESOURCE = re.compile(rf"\b(IdentityPool|Identity) '({_ID})'")

_VIOLATION = re.compile(
    r"at '([A-Za-z]+)(?:\.[^']*)?' failed to satisfy constraint: ((?:Member|Map|List) .*?)(?=; Value |$)"
)
_MAP_PART = re.compile(r"Map (key|value)s? must satisfy constraint: \[(.*)\]")
_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])")

#: The members of the four operations, as the contract names them.
FIELDS = frozenset(
    {
        "destination_user_identifier",
        "developer_provider_name",
        "developer_user_identifier",
        "identity_id",
        "identity_pool_id",
        "logins",
        "max_results",
        "next_token",
        "principal_tags",
        "source_user_identifier",
        "token_duration",
    }
)

_UNNAMED = FieldViolation("", "Request must be within Cognito's limits")

_Span = tuple[int, int]


def safe_text(text: object, secrets: Iterable[Secret], ids: Sequence[str]) -> str:
    """Returns AWS's text without the request's secrets and without control characters.

    Args:
        text: AWS's text; any other value counts as an empty text.
        secrets: The secrets. Each occurrence becomes `***`; a secret of less than four characters only if it is a whole
            word.
        ids: Ids of the request, which are kept even if a secret equals a part of them.
    """
    if not isinstance(text, str):
        return ""
    plain = text.translate(_TO_SPACE)
    known = list(chain.from_iterable(_occurrences(plain, id_) for id_ in ids if id_))
    hidden = [match.span() for match in _JWT.finditer(plain)]
    for secret in secrets:
        hidden += _secret_occurrences(plain, secret.reveal().translate(_TO_SPACE))
    return _masked(plain, [span for span in hidden if not _is_within(span, known)]).strip()


def truncated(text: str) -> str:
    """Truncates a text to `MAX_TEXT` characters."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def field_violations(text: str) -> tuple[FieldViolation, ...]:
    """Returns the violations in the text of a ValidationException, without the values.

    AWS's form is `N validation errors detected: Value 'X' at 'identityPoolId' failed to satisfy constraint: Member must
    …; Value …`, with `Map keys` and `Map value` for violations inside a map. A text in another form gives one violation
    without a field.
    """
    found = [_violation(member, constraint) for member, constraint in _VIOLATION.findall(text)]
    return tuple(violation for violation in found if violation.field)[:_MAX_VIOLATIONS] or (_UNNAMED,)


def resource_not_found(text: str) -> ResourceNotFound:
    """Returns the error for a ResourceNotFoundException: of a developer user unless the text names another resource."""
    if named := _NAMED_RESOURCE.search(text):
        return ResourceNotFound(truncated(text), resource_type=named[1], resource_name=named[2])
    return ResourceNotFound(truncated(text), resource_type="DeveloperUser")


def _violation(member: str, constraint: str) -> FieldViolation:
    field = _WORD_START.sub("_", member).lower()
    if field not in FIELDS:
        return _UNNAMED
    if part := _MAP_PART.fullmatch(constraint):
        field, constraint = f"{field}.{part[1]}", part[2]
    return FieldViolation(field, constraint[:_MAX_CONSTRAINT])


def _secret_occurrences(text: str, secret: str) -> Iterator[_Span]:
    if not secret:
        return
    for start, end in _occurrences(text, secret):
        if len(secret) >= _DISTINCTIVE or _is_word(text, start, end):
            yield start, end


def _occurrences(text: str, part: str) -> Iterator[_Span]:
    """Yields the occurrences of `part`, including overlapping ones."""
    start = text.find(part)
    while start >= 0:
        yield start, start + len(part)
        start = text.find(part, start + 1)


def _is_word(text: str, start: int, end: int) -> bool:
    return not text[start - 1 : start].isalnum() and not text[end : end + 1].isalnum()


def _is_within(span: _Span, others: Iterable[_Span]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in others)


def _masked(text: str, spans: Iterable[_Span]) -> str:
    parts: list[str] = []
    kept_from = 0
    for start, end in sorted(spans):
        if start >= kept_from:
            parts += (text[kept_from:start], _MASK)
        kept_from = max(kept_from, end)
    return "".join((*parts, text[kept_from:]))

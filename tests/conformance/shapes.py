"""Responses without variable parts: keys, times and the order of lists."""

import base64
import json

from tests.conformance.names import Json

#: The placeholder for a text or a date without information.
SOME = "…"

#: Seconds by which the clocks of two services may differ.
_CLOCKS = 60


def shaped(answer: Json) -> Json:
    """Returns a response with placeholders for its variable parts.

    Args:
        answer: The members of a response under AWS's names, with ExpireTime, RefreshTime and IssueTime as dates; or an
            error.
    """
    shape = dict(answer)
    if "DeveloperUserIdentifierList" in answer:
        shape["DeveloperUserIdentifierList"] = sorted(answer["DeveloperUserIdentifierList"])
    if "NextToken" in answer:
        shape["NextToken"] = SOME
    if "Token" in answer:
        header, claims = (_decoded(part) for part in answer["Token"].split(".")[:2])
        exp, iat = claims.get("exp"), claims.get("iat")
        shape["Token"] = {
            "header": _with(header, kid=SOME if isinstance(header.get("kid"), str) else None),
            "claims": _with(claims, exp=_since("iat", iat, exp), iat=SOME if isinstance(iat, int) else None),
        }
        shape["ExpireTime"] = _since("exp", exp, answer["ExpireTime"])
        shape["RefreshTime"] = _since("iat", iat, answer["RefreshTime"])
        shape["IssueTime"] = _within(iat, exp, answer["IssueTime"])
    return shape


def _with(members: dict[str, Json], **shapes: str | None) -> dict[str, Json]:
    return {name: shapes.get(name) or value for name, value in members.items()}


def _since(name: str, begin: Json, end: Json) -> str | None:
    return f"{name} + {end - begin}" if isinstance(begin, int) and isinstance(end, int) else None


def _within(iat: Json, exp: Json, moment: Json) -> str | None:
    if not isinstance(iat, int) or not isinstance(exp, int):
        return None
    return SOME if iat - _CLOCKS <= moment < exp else f"iat + {moment - iat}"


def _decoded(part: str) -> dict[str, Json]:
    decoded: dict[str, Json] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded

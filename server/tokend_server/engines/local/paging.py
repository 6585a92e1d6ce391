"""Pages of an identity's developer users, and the tokens that lead from page to page."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from operator import itemgetter

from tokend_server.engines.local.outcomes import Situation, refuse
from tokend_server.engines.local.store import login_key
from tokend_server.model import Identity, Login, Secret

#: The length of what binds a page token to its scope.
_CHECK_BYTES = 16

#: In place of the + and / of base64. The - of base64url would make one token of 64 an option of a command line.
_ALTERNATIVES = b"._"


def page_of_users(
    identity: Identity, users: Iterable[Login], max_results: int, next_token: str | None
) -> tuple[tuple[Secret, ...], str | None]:
    """The users behind those of the page before.

    They come in the order of their login keys, and a page token has such a key: it names no user, and it leads on
    rightly when users come or go between two pages. It is good for the identity whose page it ends, and for no other.

    Args:
        identity: The identity.
        users: All its users.
        max_results: The most to return.
        next_token: What the page before returned; None for the first page.

    Returns:
        The identifiers of the users, and the token of the next page if there is one.

    Raises:
        InvalidParameter: `next_token` was not handed out for this identity.
    """
    scope = (identity.identity_pool_id, identity.identity_id)
    after = b"" if next_token is None else last_of(next_token, *scope)
    keyed = sorted(((login_key(identity.identity_pool_id, user), user) for user in users), key=itemgetter(0))
    rest = [(key, user) for key, user in keyed if key > after]
    page, more = rest[:max_results], rest[max_results:]
    return tuple(user.user_identifier for _, user in page), page_token(page[-1][0], *scope) if more else None


def page_token(last: bytes, *scope: str) -> str:
    """The token of the page behind `last`.

    Args:
        last: The key of the last item of the page before.
        scope: What is listed, without white space: a token is good for that alone.
    """
    return base64.b64encode(last + _check_of(last, scope), _ALTERNATIVES).decode()


def last_of(next_token: str, *scope: str) -> bytes:
    """The key behind which a page begins.

    Raises:
        InvalidParameter: The token was not handed out for this scope.
    """
    try:
        decoded = base64.b64decode(next_token.encode("ascii"), _ALTERNATIVES, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        decoded = b""
    last, check = decoded[:-_CHECK_BYTES], decoded[-_CHECK_BYTES:]
    if check != _check_of(last, scope):
        raise refuse(Situation.FOREIGN_NEXT_TOKEN, "")
    return last


def _check_of(last: bytes, scope: Sequence[str]) -> bytes:
    """Tells a token of one scope from another's; a caller that made one itself would only skip items."""
    return hashlib.sha256("".join(f"{part} " for part in scope).encode() + last).digest()[:_CHECK_BYTES]

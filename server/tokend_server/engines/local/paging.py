"""Pages of an identity's developer users."""

import base64
import binascii
from collections.abc import Iterable
from operator import itemgetter

from tokend_server.engines.local.outcomes import Situation, refuse
from tokend_server.engines.local.store import LOGIN_KEY_BYTES, login_key
from tokend_server.model import Login, Secret


def page_of_users(
    identity_pool_id: str, users: Iterable[Login], max_results: int, next_token: str | None
) -> tuple[tuple[Secret, ...], str | None]:
    """The users behind those of the page before.

    They come in the order of their login keys, so that a page token is a key: it names no user, and it leads on rightly
    when users come or go between two pages.

    Args:
        identity_pool_id: The pool of the users.
        users: All users of one identity.
        max_results: The most to return.
        next_token: What the page before returned; None for the first page.

    Returns:
        The identifiers of the users, and the token of the next page if there is one.

    Raises:
        InvalidParameter: `next_token` was never handed out.
    """
    after = b"" if next_token is None else _decode(next_token)
    keyed = sorted(((login_key(identity_pool_id, user), user) for user in users), key=itemgetter(0))
    rest = [(key, user) for key, user in keyed if key > after]
    page, more = rest[:max_results], rest[max_results:]
    return tuple(user.user_identifier for _, user in page), _encode(page[-1][0]) if more else None


def _encode(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


def _decode(next_token: str) -> bytes:
    try:
        key = base64.b64decode(next_token.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        key = b""
    if len(key) != LOGIN_KEY_BYTES:
        raise refuse(Situation.FOREIGN_NEXT_TOKEN, "")
    return key

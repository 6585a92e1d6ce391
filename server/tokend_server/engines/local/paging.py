"""Pages of an identity's developer users."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from operator import itemgetter

from tokend_server.engines.local.outcomes import Situation, refuse
from tokend_server.engines.local.store import LOGIN_KEY_BYTES, login_key
from tokend_server.model import Identity, Login, Secret

#: The length of what binds a page token to its identity.
_CHECK_BYTES = 16


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
    after = b"" if next_token is None else _decode(next_token, identity)
    keyed = sorted(((login_key(identity.identity_pool_id, user), user) for user in users), key=itemgetter(0))
    rest = [(key, user) for key, user in keyed if key > after]
    page, more = rest[:max_results], rest[max_results:]
    return tuple(user.user_identifier for _, user in page), _encode(page[-1][0], identity) if more else None


def _encode(key: bytes, identity: Identity) -> str:
    return base64.urlsafe_b64encode(key + _check_of(key, identity)).decode()


def _decode(next_token: str, identity: Identity) -> bytes:
    try:
        decoded = base64.b64decode(next_token.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        decoded = b""
    key, check = decoded[:LOGIN_KEY_BYTES], decoded[LOGIN_KEY_BYTES:]
    if check != _check_of(key, identity):
        raise refuse(Situation.FOREIGN_NEXT_TOKEN, "")
    return key


def _check_of(key: bytes, identity: Identity) -> bytes:
    """Tells a token of one identity from another's; a caller that made one itself would only skip users."""
    of_identity = f"{identity.identity_pool_id} {identity.identity_id} ".encode()
    return hashlib.sha256(of_identity + key).digest()[:_CHECK_BYTES]

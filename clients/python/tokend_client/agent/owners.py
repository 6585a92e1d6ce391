"""Users and groups of this machine, by name or number."""

import grp
import pwd

#: "Unchanged" in chown(2).
UNCHANGED = -1

_MAX_ID = 2**32 - 2


def user_id(user: object) -> int:
    """Returns the number of a user, given by name or number.

    Raises:
        ValueError: There is no such user.
    """
    try:
        return _number(user) if _is_number(user) else pwd.getpwnam(str(user)).pw_uid
    except (KeyError, ValueError):
        raise ValueError("must name a user of this machine, or be a number") from None


def group_id(group: object) -> int:
    """Returns the number of a group, given by name or number.

    Raises:
        ValueError: There is no such group.
    """
    try:
        return _number(group) if _is_number(group) else grp.getgrnam(str(group)).gr_gid
    except (KeyError, ValueError):
        raise ValueError("must name a group of this machine, or be a number") from None


def _is_number(value: object) -> bool:
    return type(value) is int or (isinstance(value, str) and value.isdecimal())


def _number(value: object) -> int:
    number = int(str(value))
    if not 0 <= number <= _MAX_ID:
        raise ValueError(number)
    return number

"""Runs programs as other users."""

from collections.abc import Sequence

#: The id of a user without any rights, whether or not there is such an account.
UNPRIVILEGED = 65534


def as_user(uid: int) -> Sequence[str]:
    """Returns the prefix that makes root run a command as a user without groups.

    The argument `user` of `subprocess` would make it fork. The fork handlers of gRPC sometimes abort a child that is
    forked during calls; without that argument, `subprocess` uses vfork, which runs no handlers.
    """
    return ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")

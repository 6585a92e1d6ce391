"""Calls that have ended by themselves, and what errors hold of calls that are over."""

from traceback import clear_frames


class CallEnded(Exception):
    """The call has ended before it was answered: its client has gone, or has taken it back, or its deadline has passed.

    It stands for gRPC's own error, which must not leave the place where it is caught.
    """


def let_go(error: BaseException) -> None:
    """Takes from an error, and from those that led to it, the variables of the functions that it came through.

    An error that is reachable from one of them, such as by a variable of a library's, would otherwise keep the call
    and its stream until the garbage collector runs.
    """
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        each = errors.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        clear_frames(each.__traceback__)
        each.__traceback__ = None
        errors += [each.__cause__, each.__context__]

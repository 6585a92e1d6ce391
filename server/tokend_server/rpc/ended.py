"""Calls that ended before they were answered, and the release of objects that their errors refer to."""

from traceback import clear_frames


class CallEnded(Exception):
    """The call ended before it was answered: the client disconnected or cancelled it, or its deadline has passed.

    It replaces gRPC's own error, which must not be propagated.
    """


def clear_tracebacks(error: BaseException) -> None:
    """Clears the local variables in the tracebacks of an error and of its causes.

    If one of these variables referred to the error, for example in a library, the reference cycle would keep the call
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

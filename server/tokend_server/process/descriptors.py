"""How many files and connections the process may have open (getrlimit(2), RLIMIT_NOFILE)."""

import resource
from contextlib import suppress

from tokend_server.config import Config

#: Connections of the two HTTP listeners, and what else is open: the store, TLS files, the log, libraries.
_HTTP_CONNECTIONS = 2 * 256
_RESERVE = 200

#: Connections to the store of each thread, with the files of each.
_OF_A_THREAD = 4


def raise_limit() -> int:
    """Raises the soft limit to the hard one, and returns what holds now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # the system may have a lower limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def hard_limit() -> int:
    """The most that `raise_limit` can come to."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def needed(config: Config) -> int:
    """How many descriptors a configuration can come to need."""
    calls, streams = config.grpc, config.sds
    connections = calls.max_connections * len(calls.guarded) + streams.max_connections * len(streams.guarded)
    if config.aws.listen:
        connections += config.aws.max_connections
    threads = calls.threads + (streams.threads if streams.listen else 0)
    threads += config.aws.threads if config.aws.listen else 0
    return connections + _HTTP_CONNECTIONS + _OF_A_THREAD * threads + _RESERVE


def warning(config: Config, limit: int) -> str | None:
    """What may go wrong with so many descriptors; None if they suffice."""
    if limit == resource.RLIM_INFINITY or limit >= (most := needed(config)):
        return None
    sections = ["grpc", *(["sds"] if config.sds.listen else []), *(["aws"] if config.aws.listen else [])]
    settings = " and ".join(f"{section}.max_connections" for section in sections)
    listeners = len(config.grpc.guarded) + len(config.sds.guarded) + bool(config.aws.listen)
    return (
        f"{settings}: with {listeners} listeners up to {most} descriptors can be needed, and "
        f"the process may have {limit}: raise its limit (`ulimit -Hn`, `LimitNOFILE=`) or lower max_connections"
    )

"""The limit of open files and connections of the process (getrlimit(2), RLIMIT_NOFILE)."""

import resource
from contextlib import suppress

from tokend_server.config import Config

#: The connections of the two HTTP listeners, and further descriptors: the store, TLS files, the log, libraries.
_HTTP_CONNECTIONS = 2 * 256
_RESERVE = 200

#: The connections of each thread to the store, and their files.
_PER_THREAD = 4


def raise_limit() -> int:
    """Raises the soft limit to the hard one, and returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # the system may have a lower limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def hard_limit() -> int:
    """Returns the maximum that `raise_limit` can reach."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def needed(config: Config) -> int:
    """Returns the maximum number of descriptors that a configuration needs."""
    calls, streams = config.grpc, config.sds
    connections = calls.max_connections * len(calls.all_listeners) + streams.max_connections * len(
        streams.all_listeners
    )
    if config.aws.listen:
        connections += config.aws.max_connections
    threads = calls.threads + (streams.threads if streams.listen else 0)
    threads += config.aws.threads if config.aws.listen else 0
    return connections + _HTTP_CONNECTIONS + _PER_THREAD * threads + _RESERVE


def warning(config: Config, limit: int) -> str | None:
    """Returns the warning for a limit of descriptors; None if it suffices."""
    if limit == resource.RLIM_INFINITY or limit >= (most := needed(config)):
        return None
    sections = ["grpc", *(["sds"] if config.sds.listen else []), *(["aws"] if config.aws.listen else [])]
    settings = " and ".join(f"{section}.max_connections" for section in sections)
    listeners = len(config.grpc.all_listeners) + len(config.sds.all_listeners) + bool(config.aws.listen)
    return (
        f"{settings}: with {listeners} listeners up to {most} descriptors may be needed, but the limit of the process "
        f"is {limit}: raise it (`ulimit -Hn`, `LimitNOFILE=`) or lower max_connections"
    )

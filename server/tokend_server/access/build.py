"""Builds what stands between callers and the service from the configuration."""

import fcntl
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tokend_server.access import rate_limits as limits
from tokend_server.access.audit.auditor import Auditor
from tokend_server.access.audit.file_log import FileAuditLog
from tokend_server.access.audit.log import AuditLog, AuditWriteFailed
from tokend_server.access.audit.queued_log import QueuedAuditLog
from tokend_server.access.audit.stream_log import StreamAuditLog
from tokend_server.access.authentication.bearer_keys import ByKey
from tokend_server.access.authentication.certificate import by_certificate
from tokend_server.access.authentication.forwarded import ByForwardedCertificate
from tokend_server.access.authentication.jwt import ByToken, TokenIssuer, token_issuer
from tokend_server.access.authentication.presented import Presented, Way
from tokend_server.access.authorization import Policy, Row
from tokend_server.callers.patterns import Pattern
from tokend_server.clock import Clock
from tokend_server.config import CallerLimits, Config, ConfigError, Limits, Listener
from tokend_server.config.fields import FILE
from tokend_server.ids import UniqueIds
from tokend_server.metrics import Metrics
from tokend_server.oidc.issuers import Issuers
from tokend_server.oidc.outbound import open_http

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """What stands between callers and the service.

    Attributes:
        ways: How a listener tells who calls, in order and with the names of the ways.
        policy: Who may do what.
        limits: How much is taken from each caller.
        concurrent_calls: How much is taken from all of them at once.
        auditor: Records every decision.
        audit_log: Where to; None for nowhere.
    """

    ways: Callable[[Listener], Sequence[tuple[str, Way]]]
    policy: Policy
    limits: limits.Limits
    concurrent_calls: int
    auditor: Auditor
    audit_log: AuditLog | None

    def close_audit_log(self) -> None:
        """Ends the audit log with what it has yet to tell."""
        if self.audit_log:
            self.auditor.summarise()
            self.audit_log.close()

    def reopen_audit_log(self) -> None:
        """Reopens an audit log that was renamed; one that cannot be reopened is logged, and kept."""
        if self.audit_log:
            try:
                self.audit_log.reopen()
            except AuditWriteFailed:
                _log.exception("the audit log cannot be reopened")


def build_door(config: Config, metrics: Metrics, clock: Clock, issuers: Issuers | None = None) -> Door:
    """Builds it.

    Args:
        config: The configuration.
        metrics: Where refusals are counted.
        clock: The time.
        issuers: Makes the keys of callers' issuers; by default, of this door alone.

    Raises:
        ConfigError: A key, an issuer or the audit log cannot be used; every problem is named.
    """
    problems: list[str] = []
    token_issuers = _token_issuers(config, clock, issuers or Issuers(clock, config.grpc.threads), problems)
    by_token = _built(
        "callers.jwt",
        partial(
            ByToken,
            token_issuers,
            clock,
            lambda why: metrics.caller_tokens_refused.labels(why).inc(),
            max_token_bytes=config.callers.max_token_bytes,
        ),
        problems,
    )
    by_key = _built("callers.keys", partial(ByKey, config.callers.keys), problems)
    audit_log = _built("audit.destination", partial(_audit_log, config.audit.destination, clock), problems)
    if problems or by_token is None or by_key is None:
        raise ConfigError(problems)
    if audit_log:
        audit_log = QueuedAuditLog(
            audit_log,
            required=config.audit.required,
            on_loss=lambda failure: auditor.lost(failure),  # noqa: PLW0108 - it is yet to be made
        )
    auditor = Auditor(
        audit_log,
        required=config.audit.required,
        clock=clock,
        event_id=UniqueIds(os.urandom),
        on_failure=lambda error: metrics.audit_failures.labels(error).inc(),
        on_omission=metrics.audit_omissions.inc,
    )
    return Door(
        partial(_ways, by_key, by_token),
        policy_of(config),
        _limits(config.limits, 2 * config.grpc.threads, metrics, clock),
        config.limits.concurrent_calls,
        auditor,
        audit_log,
    )


def policy_of(config: Config) -> Policy:
    """The policy of a configuration."""
    rows = [
        Row(
            name=name,
            callers=tuple(row.callers),
            pools=frozenset(row.pools),
            operations=frozenset(row.operations),
            max_token_duration=timedelta(seconds=row.max_token_duration_seconds),
            principal_tag_keys=frozenset(row.principal_tag_keys),
        )
        for name, row in config.policy.items()
    ]
    return Policy(rows, tuple(config.pools))


def _ways(by_key: ByKey, by_token: ByToken, listener: Listener) -> Sequence[tuple[str, Way]]:
    proxies = [
        Pattern(proxy) for proxy in listener.trusted_proxies if "x_forwarded_client_cert" in listener.identify_by
    ]

    def by_own_certificate(presented: Presented) -> str | None:
        """A proxy that says nothing of its caller is not the caller."""
        caller = by_certificate(presented)
        return None if caller and any(proxy.matches(caller) for proxy in proxies) else caller

    ways: dict[str, Way] = {
        "mutual_tls": by_own_certificate if proxies else by_certificate,
        "jwt": by_token,
        "bearer_key": by_key,
        "x_forwarded_client_cert": ByForwardedCertificate(listener.trusted_proxies),
    }
    return [(name, ways[name]) for name in listener.identify_by]


def caller_problems(config: Config, clock: Clock) -> list[str]:
    """What is wrong with the ways to tell who calls, beyond what the configuration alone tells: files are read."""
    problems: list[str] = []
    issuers = _token_issuers(config, clock, Issuers(clock, config.grpc.threads), problems)
    max_token_bytes = config.callers.max_token_bytes
    by_token = partial(ByToken, issuers, clock, lambda _why: None, max_token_bytes=max_token_bytes)
    _built("callers.jwt", by_token, problems)
    _built("callers.keys", partial(ByKey, config.callers.keys), problems)
    return problems


def _token_issuers(config: Config, clock: Clock, issuers: Issuers, problems: list[str]) -> Sequence[TokenIssuer]:
    built = []
    for name, settings in config.callers.jwt.items():
        try:
            issuer = token_issuer(
                name,
                issuer=settings.issuer,
                audiences=settings.audiences,
                algorithms=settings.algorithms,
                jwks_url=settings.jwks_url,
                bearer_token_file=settings.bearer_token_file,
                skew=settings.clock_skew_seconds,
                http=open_http(settings.ca_file),
                clock=clock,
                issuers=issuers,
            )
        except ValueError as error:
            problems.append(f"callers.jwt.{name}: {error}")
        else:
            built.append(issuer)
    return built


def _can_be_written(descriptor: int) -> bool:
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def _audit_log(destination: str, clock: Clock) -> AuditLog | None:
    if destination == "none":
        return None
    if destination == "stdout":
        if sys.stdout is None or not _can_be_written(sys.stdout.fileno()):
            raise ValueError("standard output is closed")
        return StreamAuditLog(sys.stdout.fileno(), clock)
    return FileAuditLog(Path(destination.removeprefix(FILE)), clock)


def _limits(settings: Limits, concurrent_calls: int, metrics: Metrics, clock: Clock) -> limits.Limits:
    common = {name: getattr(settings, name) for name in CallerLimits.model_fields}
    common["concurrent_calls_of_caller"] = settings.concurrent_calls_of_caller or concurrent_calls
    by_pattern = [
        (pattern, _caller_limits({**common, **own.model_dump(exclude_none=True)}))
        for pattern, own in settings.callers.items()
    ]
    return limits.Limits(
        _caller_limits(common), by_pattern, lambda limit: metrics.calls_refused.labels(limit).inc(), clock
    )


def _caller_limits(settings: Mapping[str, Any]) -> limits.CallerLimits:
    return limits.CallerLimits(
        calls=limits.Rate(settings["calls_per_second"], settings["calls_burst"]),
        new_identities=limits.Rate(settings["new_identities_per_second"], settings["new_identities_burst"]),
        concurrent_calls=settings["concurrent_calls_of_caller"],
    )


_Built = TypeVar("_Built")


def _built(setting: str, build: Callable[[], _Built], problems: list[str]) -> _Built | None:
    try:
        return build()
    except OSError as error:
        problems.append(f"{setting}: {error.filename}: {error.strerror}")
    except ValueError as error:
        problems.append(f"{setting}: {error}")
    return None

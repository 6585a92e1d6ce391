"""Builds access control from the configuration."""

import fcntl
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from tokend_server.access.audit.auditor import Auditor
from tokend_server.access.audit.file_log import FileAuditLog
from tokend_server.access.audit.log import AuditLog, AuditWriteFailed
from tokend_server.access.audit.queued_log import QueuedAuditLog
from tokend_server.access.audit.stream_log import StreamAuditLog
from tokend_server.access.authentication.bearer_keys import BearerKeyAuthenticator
from tokend_server.access.authentication.certificate import authenticate_by_certificate
from tokend_server.access.authentication.forwarded import ForwardedCertificateAuthenticator
from tokend_server.access.authentication.jwt import JwtAuthenticator, TokenIssuer, token_issuer
from tokend_server.access.authentication.presented import Authenticator, PresentedCredentials
from tokend_server.access.authentication.refusals import Refusal
from tokend_server.access.authorization import Policy, PolicyRow
from tokend_server.access.ids import UniqueIds
from tokend_server.access.rate_limits import CallerLimits, Rate, RateLimits
from tokend_server.callers.patterns import Pattern
from tokend_server.clock import Clock
from tokend_server.config import CallerLimitSettings, Config, Limits, Listener
from tokend_server.config.fields import FILE
from tokend_server.errors import ConfigError
from tokend_server.metrics import Metrics
from tokend_server.oidc.issuers import Issuers
from tokend_server.oidc.outbound import IssuerHttp

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessControl:
    """Access control of all listeners.

    Attributes:
        authenticators: Those of a listener in order, with their names.
        policy: The policy.
        limits: The limits of each caller.
        concurrent_calls: The maximum number of concurrent calls of all callers.
        auditor: Records every decision.
        audit_log: The audit log; None if there is none.
    """

    authenticators: Callable[[Listener], Sequence[tuple[str, Authenticator]]]
    policy: Policy
    limits: RateLimits
    concurrent_calls: int
    auditor: Auditor
    audit_log: AuditLog | None

    def close_audit_log(self) -> None:
        """Writes the number of omitted refusals, and closes the audit log."""
        if self.audit_log:
            self.auditor.record_summary()
            self.audit_log.close()

    def reopen_audit_log(self) -> None:
        """Reopens an audit log that was renamed; if that fails, logs the error and keeps the old file."""
        if self.audit_log:
            try:
                self.audit_log.reopen()
            except AuditWriteFailed as failure:
                _log.error("the audit log cannot be reopened", extra={"error": str(failure)})


def build_access_control(
    config: Config, metrics: Metrics, clock: Clock, issuers: Issuers | None = None
) -> AccessControl:
    """Builds access control.

    Args:
        config: The configuration.
        metrics: The metrics of refusals.
        clock: The time.
        issuers: Makes the keys of callers' issuers; by default a new instance for callers only.

    Raises:
        ConfigError: A key, an issuer or the audit log cannot be used; the error lists all problems.
    """
    problems: list[str] = []
    by_token, by_key = _by_bearer_token(
        config, clock, issuers, lambda why: metrics.caller_tokens_refused.labels(why).inc(), problems
    )
    audit_log = _build_or_report("audit.destination", partial(_audit_log, config.audit.destination, clock), problems)
    if problems or by_token is None or by_key is None:
        raise ConfigError(problems)
    if audit_log:
        audit_log = QueuedAuditLog(
            audit_log,
            required=config.audit.required,
            on_loss=lambda failure: auditor.record_loss(failure),  # noqa: PLW0108 - it is yet to be made
        )
    auditor = Auditor(
        audit_log,
        required=config.audit.required,
        clock=clock,
        event_id=UniqueIds(os.urandom),
        on_failure=lambda error: metrics.audit_failures.labels(error).inc(),
        on_omission=metrics.audit_omissions.inc,
    )
    return AccessControl(
        partial(_authenticators, by_key, by_token),
        policy_of(config),
        _rate_limits(config.limits, 2 * config.grpc.threads, metrics, clock),
        config.limits.concurrent_calls,
        auditor,
        audit_log,
    )


def policy_of(config: Config) -> Policy:
    """Returns the policy of a configuration."""
    rows = [
        PolicyRow(
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


def _authenticators(
    by_key: BearerKeyAuthenticator, by_token: JwtAuthenticator, listener: Listener
) -> Sequence[tuple[str, Authenticator]]:
    proxies = [
        Pattern(proxy) for proxy in listener.trusted_proxies if "x_forwarded_client_cert" in listener.identify_by
    ]

    def by_own_certificate(presented: PresentedCredentials) -> str | None:
        """Identifies the caller by certificate; a trusted proxy's certificate does not identify the caller."""
        caller = authenticate_by_certificate(presented)
        return None if caller and any(proxy.matches(caller) for proxy in proxies) else caller

    authenticators: dict[str, Authenticator] = {
        "mutual_tls": by_own_certificate if proxies else authenticate_by_certificate,
        "jwt": by_token,
        "bearer_key": by_key,
        "x_forwarded_client_cert": ForwardedCertificateAuthenticator(listener.trusted_proxies),
    }
    return [(name, authenticators[name]) for name in listener.identify_by]


def caller_problems(config: Config, clock: Clock) -> list[str]:
    """Returns the problems of authenticators that show only when their files are read."""
    problems: list[str] = []
    _by_bearer_token(config, clock, None, lambda _why: None, problems)
    return problems


def _by_bearer_token(
    config: Config, clock: Clock, issuers: Issuers | None, on_refused: Callable[[Refusal], None], problems: list[str]
) -> tuple[JwtAuthenticator | None, BearerKeyAuthenticator | None]:
    token_issuers = _token_issuers(config, clock, issuers or Issuers(clock, config.grpc.threads), problems)
    max_token_bytes = config.callers.max_token_bytes
    by_token = partial(JwtAuthenticator, token_issuers, clock, on_refused, max_token_bytes=max_token_bytes)
    by_key = partial(BearerKeyAuthenticator, config.callers.keys)
    return (
        _build_or_report("callers.jwt", by_token, problems),
        _build_or_report("callers.keys", by_key, problems),
    )


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
                http=IssuerHttp(settings.ca_file),
                clock=clock,
                issuers=issuers,
            )
        except ValueError as error:
            problems.append(f"callers.jwt.{name}: {error}")
        else:
            built.append(issuer)
    return built


def _is_writable(descriptor: int) -> bool:
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def _audit_log(destination: str, clock: Clock) -> AuditLog | None:
    if destination == "none":
        return None
    if destination == "stdout":
        if sys.stdout is None or not _is_writable(sys.stdout.fileno()):
            raise ValueError("standard output is closed")
        return StreamAuditLog(sys.stdout.fileno(), clock)
    return FileAuditLog(Path(destination.removeprefix(FILE)), clock)


def _rate_limits(settings: Limits, concurrent_calls: int, metrics: Metrics, clock: Clock) -> RateLimits:
    default = CallerLimits(
        calls=Rate(settings.calls_per_second, settings.calls_burst),
        new_identities=Rate(settings.new_identities_per_second, settings.new_identities_burst),
        concurrent_calls=settings.concurrent_calls_of_caller or concurrent_calls,
    )
    by_pattern = [
        (pattern, _caller_limits(own, default).share(settings.replicas)) for pattern, own in settings.callers.items()
    ]
    return RateLimits(
        default.share(settings.replicas), by_pattern, lambda limit: metrics.calls_refused.labels(limit).inc(), clock
    )


def _caller_limits(own: CallerLimitSettings, default: CallerLimits) -> CallerLimits:
    return CallerLimits(
        calls=_rate(own.calls_per_second, own.calls_burst, default.calls),
        new_identities=_rate(own.new_identities_per_second, own.new_identities_burst, default.new_identities),
        concurrent_calls=own.concurrent_calls_of_caller or default.concurrent_calls,
    )


def _rate(per_second: float | None, burst: int | None, default: Rate) -> Rate:
    return Rate(
        default.per_second if per_second is None else per_second,
        default.burst if burst is None else burst,
    )


_Part = TypeVar("_Part")


def _build_or_report(setting: str, build: Callable[[], _Part], problems: list[str]) -> _Part | None:
    try:
        return build()
    except OSError as error:
        problems.append(f"{setting}: {error.filename}: {error.strerror}")
    except ValueError as error:
        problems.append(f"{setting}: {error}")
    return None

"""Builds the listener of Cognito's own API from the configuration."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tokend_server.access.build import AccessControl
from tokend_server.access.ids import UniqueIds
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.application import AwsJsonApplication
from tokend_server.aws_json.assume_role import ASSUME_ROLE, RoleAssumption
from tokend_server.aws_json.calls import OK, UNKNOWN_OPERATION, Calls
from tokend_server.aws_json.credentials import GET_CREDENTIALS, CredentialOperations
from tokend_server.aws_json.errors import ERRORS
from tokend_server.aws_json.identities import IdentityOperations
from tokend_server.aws_json.operations import OPERATIONS
from tokend_server.aws_json.pool_management import ManagementOperations
from tokend_server.aws_json.pools import PoolOperations
from tokend_server.aws_json.probe import ListenerProbe
from tokend_server.aws_json.public import PublicOperations
from tokend_server.aws_json.refusals import refused_operations
from tokend_server.aws_json.service import SERVICE_NAME, AwsJsonService
from tokend_server.aws_json.shaped import PerformedOperation
from tokend_server.aws_json.signers import identifying_signers
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.aws_json.sts import SERVICE_NAME as STS
from tokend_server.aws_json.sts import STS_CODES, StsService
from tokend_server.callers.aws_keys import name_by_access_key, secret_access_key
from tokend_server.clock import Clock, Deadline
from tokend_server.config import Callers, Config, Listener
from tokend_server.engine import CredentialSource, Identities, IdentityPools, PoolManagement, PublicEngine
from tokend_server.errors import ConfigError
from tokend_server.key_files import read_key
from tokend_server.metrics import Metrics
from tokend_server.model import CognitoOperation, KeySet, Secret, StsOperation
from tokend_server.process.listening import reachable_address
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.interceptors.audit import auditing
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.interceptors.rate_limits import limiting_rates
from tokend_server.rpc.policy import Rule
from tokend_server.rpc.readiness import ProbeTimeouts, Reachability
from tokend_server.rpc.tracing import Tracing
from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.tls import ReloadedContext, reloaded_context

#: All known operations.
KNOWN = (*OPERATIONS, *CognitoOperation)


class IdentityEngines(Protocol):
    """The parts of `Engines` for operations outside the contract."""

    @property
    def identities(self) -> Identities: ...

    @property
    def pools(self) -> IdentityPools: ...

    @property
    def pool_management(self) -> PoolManagement | None: ...

    @property
    def public_engine(self) -> Callable[[str, Deadline], PublicEngine]: ...


@dataclass(frozen=True, slots=True)
class AwsServer:
    """The listener of Cognito's own API.

    Attributes:
        address: The address with its actual port.
    """

    address: str
    _listener: HttpListener
    _probe: ListenerProbe
    _tls: ReloadedContext | None
    _undo: ExitStack

    def start(self) -> None:
        """Starts to serve."""
        self._listener.start()
        self._undo.callback(self._listener.stop)
        self._probe.start()

    def reload_tls_files(self) -> None:
        """Reloads TLS files that have changed; new connections do so too."""
        if self._tls is not None:
            self._tls.reload_if_changed()

    def reachability(self) -> Sequence[Reachability]:
        """Returns whether callers can reach the listener."""
        return self._probe.reachability()

    def stop(self) -> None:
        """Stops accepting requests; returns when those in flight are done or timed out."""
        self._undo.close()


def build_aws_server(  # noqa: PLR0913, PLR0917 - all its parts
    config: Config,
    operations: DeveloperIdentityService,
    engines: IdentityEngines,
    credential_source: CredentialSource | None,
    key_set: Callable[[], KeySet] | None,
    issuer: str,
    on_change: Callable[[str], object],
    access: AccessControl,
    metrics: Metrics,
    clock: Clock,
    tracing: Tracing,
) -> AwsServer:
    """Builds the listener of `aws.listen` without starting it.

    Raises:
        ConfigError: The listener cannot listen on its address, or `callers.aws_key_file` cannot be used.
    """
    settings, address = config.aws, config.aws.listener
    if address is None:
        raise AssertionError("aws.listen is not set")
    secrets, callers = access_keys(config.callers)
    methods = [
        *(Method(SERVICE_NAME, name, "unary") for name in KNOWN),
        *(Method(STS, name, "unary") for name in StsOperation),
    ]
    rules = {method.path: Rule.GRANT for method in methods}
    layers = [
        auditing(access.auditor, clock, rules),
        identifying_signers(SignatureVerifier(secrets, clock), callers.__getitem__),
        limiting_rates(access.limits),
    ]
    admission = Admission(access.policy, clock)
    # With a source of real credentials there are never fake ones.
    assumed: list[PerformedOperation] = []
    if key_set and settings.credentials.source == "static":
        assumption = RoleAssumption(key_set, issuer, engines.pools, admission, clock)
        assumed.append((ASSUME_ROLE, assumption.assume_role))
    counts, new_id = _Counts(metrics), UniqueIds(os.urandom)
    sts = Calls(StsService(assumed, layers), clock, tracing, counts.count, new_id)
    service = AwsJsonService(
        operations,
        layers,
        others=other_operations(engines, credential_source, admission, on_change),
        account_of=partial(_account_of, config),
    )
    with ExitStack() as undo:
        bound = BoundAddress("aws.listen", address.address)
        undo.callback(bound.close)
        threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="aws")
        tls = _tls(address, metrics)
        probe = ListenerProbe(
            bound.address,
            reachable_address(bound.address),
            threads,
            clock,
            ProbeTimeouts(config.ops.unready_after_seconds, config.ops.dead_after_seconds),
            has_tls=tls is not None,
        )
        undo.callback(probe.stop)
        undo.callback(threads.shutdown)  # before the probe, which may wait for them
        application = AwsJsonApplication(
            Calls(service, clock, tracing, counts.count, new_id),
            sts,
            threads,
            max_calls=access.concurrent_calls,
            on_refusal=metrics.calls_refused.labels("aws_calls").inc,
        )
        listener = HttpListener(bound, application, max_connections=settings.max_connections, tls=tls)
        return AwsServer(bound.address, listener, probe, tls, undo.pop_all())


def other_operations(
    engines: IdentityEngines,
    credential_source: CredentialSource | None,
    admission: Admission,
    on_change: Callable[[str], object],
) -> Sequence[PerformedOperation]:
    """Returns the operations outside the contract; those that are not served are refused."""
    public = PublicOperations(engines.identities, engines.public_engine, admission)
    served = [
        *IdentityOperations(engines.identities, admission, on_change).operations,
        *PoolOperations(engines.pools, admission).operations,
        *public.operations,
    ]
    if engines.pool_management:
        served += ManagementOperations(engines.pool_management, admission, on_change).operations
    if credential_source:
        credentials = CredentialOperations(public, engines.pools, credential_source)
        served.append((GET_CREDENTIALS, credentials.get_credentials))
    return [*served, *refused_operations({operation.name for operation, _ in served})]


def _account_of(config: Config, identity_pool_id: str) -> str:
    """Returns the account of a configured pool, or that of managed pools for others."""
    pool = config.pools.get(identity_pool_id)
    return pool.account_id if pool else config.aws.account_id


def _tls(listener: Listener, metrics: Metrics) -> ReloadedContext | None:
    if listener.tls_files is None:
        return None
    try:
        return reloaded_context(listener.tls_files, listener.address, metrics.tls_gauges(listener.address))
    except ValueError as error:
        raise ConfigError([f"aws: the TLS files cannot be used: {error}"]) from error


class _Counts:
    """Counts calls; all series exist from the start, so that rates are correct from the first call on."""

    def __init__(self, metrics: Metrics) -> None:
        codes = {OK, "UnknownOperationException", *(row.code for row in ERRORS.values())}
        known: dict[str, set[str]] = dict.fromkeys(KNOWN, codes) | {name: {OK, *STS_CODES} for name in StsOperation}
        known[UNKNOWN_OPERATION] = codes | {"InvalidAction", "MalformedQueryString", "MissingAction"}
        self._calls = metrics.aws_calls
        self._seconds = {name: metrics.aws_call_seconds.labels(name) for name in known}
        for name, ends in known.items():
            for code in ends:
                self._calls.labels(name, code)

    def count(self, operation: str, code: str, seconds: float) -> None:
        self._calls.labels(operation, code).inc()
        self._seconds[operation].observe(seconds)


def access_keys(callers: Callers) -> tuple[Mapping[str, Secret], Mapping[str, str]]:
    """Returns the secret and the caller of each access key.

    Raises:
        ConfigError: `callers.aws_key_file` cannot be used.
    """
    if callers.aws_key_file is None:
        raise AssertionError("callers.aws_key_file is not set")
    try:
        key = read_key(callers.aws_key_file)
    except ValueError as error:
        raise ConfigError([f"callers.aws_key_file: {error}"]) from None
    names = {each: name_by_access_key(name) for name, ids in callers.aws_keys.items() for each in ids}
    return {each: secret_access_key(key, each) for each in names}, names

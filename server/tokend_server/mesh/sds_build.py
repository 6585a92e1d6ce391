"""Builds the secret discovery service from the configuration."""

import os
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tokend_server.access.build import AccessControl
from tokend_server.access.ids import UniqueIds
from tokend_server.clock import Clock
from tokend_server.config import Config, SdsToken
from tokend_server.errors import ConfigError
from tokend_server.mesh.async_calls import wrapping_calls
from tokend_server.mesh.extra import extra_problems
from tokend_server.mesh.pushed_tokens import PushedTokens, TokenSecret
from tokend_server.mesh.reused_tokens import TokenSource, always_issue
from tokend_server.mesh.sds_health import SdsHealth
from tokend_server.mesh.sds_server import EventLoop, SdsServer
from tokend_server.mesh.sds_service import SdsService
from tokend_server.mesh.secret_stream import variants
from tokend_server.mesh.secrets_watch import KeySetSecret, Secrets
from tokend_server.mesh.stream_calls import issuing_tokens
from tokend_server.mesh.stream_places import StreamPlaces
from tokend_server.mesh.tokens import MeshTokens
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.mesh.xds import Receipt
from tokend_server.metrics import Metrics
from tokend_server.model import KeySet, Secret
from tokend_server.rpc.connection_guard import ConnectionGuard
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.interceptors.metrics import Recorder, counting_unknown_methods


def build_sds(  # noqa: PLR0913, PLR0917 - all their parts
    config: Config,
    operations: DeveloperIdentityService,
    access: AccessControl,
    guard: ConnectionGuard,
    key_set: Callable[[], KeySet] | None,
    is_published: Callable[[str, str | None], bool],
    metrics: Metrics,
    clock: Clock,
) -> Sequence[SdsServer]:
    """Builds the listeners without starting them; none if no address is configured.

    Args:
        config: The configuration.
        operations: Issues tokens.
        access: Access control.
        guard: Guards the connections of gRPC listeners.
        key_set: Returns the current keys of local pools; None if there are no local pools.
        is_published: Returns whether a key of a pool is published.
        metrics: The metrics of streams and tokens.
        clock: The time.

    Raises:
        ConfigError: It needs an extra that is not installed, or a listener cannot listen on its address.
    """
    settings = config.sds
    if not settings.listen:
        return ()
    if problems := extra_problems(config):
        raise ConfigError(problems)
    from tokend_server.mesh.protos import EnvoyProtos  # noqa: PLC0415 - the extra may be missing
    from tokend_server.mesh.sds_messages import SdsMessages  # noqa: PLC0415 - as above

    messages = SdsMessages(EnvoyProtos())
    loop = EventLoop(settings.threads)
    outcomes = {succeeded: metrics.sds_tokens.labels(label) for succeeded, label in _OUTCOMES.items()}
    receipts = {receipt: metrics.sds_receipts.labels(receipt) for receipt in Receipt if receipt is not Receipt.NOTHING}
    sources = {source: metrics.mesh_tokens.labels("sds", source) for source in TokenSource}
    tokens = PushedTokens(
        {
            name: TokenSecret(partial(_wanted, config, token), partial(messages.token_secret, name))
            for name, token in settings.tokens.items()
        },
        issue=issuing_tokens(access, MeshTokens(operations, always_issue, lambda source: sources[source].inc()), clock),
        run=loop.run_in_thread,
        is_published=is_published,
        max_tokens=2 * settings.max_streams,
        clock=clock,
        random=random.random,
        on_renewal=lambda succeeded: outcomes[succeeded].inc(),
    )
    keys = None
    if settings.key_set:
        contents = partial(messages.key_set_secret, settings.key_set)
        keys = KeySetSecret(settings.key_set, contents, loop.call_later, random.random)
    secrets = Secrets(tokens, keys, lambda: key_set().jwks if key_set else b"")
    wrap = wrapping_calls(lambda method: Recorder(method, metrics), clock, UniqueIds(os.urandom))
    service = SdsService(
        variants(messages),
        messages,
        secrets=secrets,
        places=StreamPlaces(
            settings.max_streams,
            settings.max_streams_of_caller or settings.max_streams,
            metrics.calls_refused.labels("sds_streams").inc,
        ),
        wrap=wrap,
        on_receipt=lambda receipt: receipts[receipt].inc() if receipt in receipts else None,
        message_timeout=config.grpc.message_timeout_seconds,
        clock=clock,
    )
    metrics.watch_secret_streams(lambda: service.streams, lambda: tokens.late)
    max_watches = settings.max_connections
    health = SdsHealth(StreamPlaces(max_watches, max_watches, lambda: None), wrap, config.grpc.message_timeout_seconds)
    unknown = counting_unknown_methods(metrics)
    return (SdsServer(settings, config.grpc, loop, service, health, secrets, access, guard, metrics, unknown, clock),)


_OUTCOMES: Mapping[bool, str] = {True: "issued", False: "failed"}


def _wanted(config: Config, token: SdsToken, caller: str) -> WantedToken:
    return WantedToken(
        token.identity_pool_id,
        config.pools[token.identity_pool_id].developer_provider_name,
        Secret(caller if token.user is None else token.user),
        token.principal_tags,
        token.token_duration_seconds,
    )

"""Builds the services for Envoy from the configuration."""

from collections.abc import Callable, Sequence

from tokend_server.clock import Clock
from tokend_server.config import Config
from tokend_server.errors import ConfigError
from tokend_server.mesh.extra import extra_problems
from tokend_server.mesh.reused_tokens import ReusedTokens, TokenSource, always_issue
from tokend_server.mesh.token_mapping import token_mapping
from tokend_server.mesh.tokens import MeshTokens
from tokend_server.mesh.verdict import Verdict
from tokend_server.metrics import Metrics
from tokend_server.prometheus_internals import counting
from tokend_server.rpc.additional_service import AdditionalService
from tokend_server.rpc.developer_identity import DeveloperIdentityService

_EXT_AUTHZ = "ext_authz"


class Mesh:
    """The services for Envoy that are configured.

    Args:
        config: The configuration.
        is_published: Returns whether a key of a pool is still published.
        metrics: The metrics of tokens and requests.
        clock: The time.
    """

    def __init__(
        self, config: Config, is_published: Callable[[str, str | None], bool], metrics: Metrics, clock: Clock
    ) -> None:
        self._config = config
        self._metrics = metrics
        max_tokens = config.ext_authz.reuse_max_tokens if config.ext_authz.mappings else 0
        self._reused = ReusedTokens(max_tokens, is_published, clock) if max_tokens else None
        if self._reused:
            metrics.watch_mesh_tokens(_EXT_AUTHZ, self._reused.count)

    def forget(self, identity_pool_id: str) -> None:
        """Discards the reusable tokens of a pool, one of whose users may have moved to another identity or to none."""
        if self._reused:
            self._reused.forget(identity_pool_id)

    def services(self, operations: DeveloperIdentityService) -> Sequence[AdditionalService]:
        """Returns the services for the gRPC listeners, which use these operations.

        Raises:
            ConfigError: They need an extra that is not installed.
        """
        if not self._config.ext_authz.mappings:
            return ()
        if problems := extra_problems(self._config):
            raise ConfigError(problems)
        from tokend_server.mesh.authorization import Authorization  # noqa: PLC0415 - the extra may be missing
        from tokend_server.mesh.protos import EnvoyProtos  # noqa: PLC0415 - as above

        settings = self._config.ext_authz.mappings
        mappings = {name: token_mapping(self._config, name, each) for name, each in settings.items()}
        defaults = [(pattern, mappings[name]) for name, each in settings.items() for pattern in each.default_for]
        get_or_issue = self._reused.get_or_issue if self._reused else always_issue
        tokens = MeshTokens(operations, get_or_issue, self._counting_tokens())
        max_tokens = self._config.ext_authz.reuse_max_tokens
        checks = self._counting_checks()
        return (Authorization(EnvoyProtos(), mappings, defaults, tokens, checks, max_tokens).service(),)

    def _counting_tokens(self) -> Callable[[TokenSource], None]:
        count = {source: counting(self._metrics.mesh_tokens.labels(_EXT_AUTHZ, source)) for source in TokenSource}
        return lambda source: count[source](1)

    def _counting_checks(self) -> Callable[[str, Verdict], None]:
        checks = self._metrics.ext_authz_checks
        names = (*self._config.ext_authz.mappings, "")
        count = {(name, verdict): counting(checks.labels(name, verdict)) for name in names for verdict in Verdict}
        return lambda name, verdict: count[name, verdict](1)

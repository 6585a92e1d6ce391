"""The metrics of the service; server/metrics.md lists them, and a test keeps the two equal."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tokend_server.tls_files import TlsGauges

#: From the half millisecond of a warm call to the seconds of a hanging dependency.
SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: The `pool` label of pools without separate series.
OTHER_POOLS = "other"

_METHOD = ("grpc_type", "grpc_service", "grpc_method")


class Metrics:
    """All collectors, on a separate registry.

    The `grpc_server_*` names are those of go-grpc-middleware, so that its dashboards work.

    Args:
        registry: The registry.
        labelled_pools: The number of pools with separate series, which are the first ones; the others share
            `pool="other"`, so that a response does not grow with the number of pools.
    """

    def __init__(self, registry: CollectorRegistry, *, labelled_pools: int = 1000) -> None:
        self.registry = registry
        self._labelled_pools = labelled_pools
        self._pool_labels: set[str] = set()
        self.grpc_server_started = Counter(
            "grpc_server_started_total", "RPCs started on the server.", _METHOD, registry=registry
        )
        self.grpc_server_handled = Counter(
            "grpc_server_handled_total",
            "RPCs completed on the server, whatever their outcome.",
            (*_METHOD, "grpc_code"),
            registry=registry,
        )
        self.grpc_server_handling_seconds = Histogram(
            "grpc_server_handling_seconds",
            "Time from an RPC's start on the server to its completion.",
            _METHOD,
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.ready = Gauge("tokend_ready", "1 while /readyz returns 200, else 0.", registry=registry)
        self.tokens_issued = Counter(
            "tokend_tokens_issued_total", "Tokens issued.", ("engine", "pool", "alg"), registry=registry
        )
        self.identities = Counter(
            "tokend_identities_total",
            "Calls by what they did to an identity: created, linked, retrieved or merged.",
            ("engine", "pool", "outcome"),
            registry=registry,
        )
        self.engine_seconds = Histogram(
            "tokend_engine_seconds",
            "Time that an engine took for an operation.",
            ("engine", "operation"),
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.engine_failures = Counter(
            "tokend_engine_failures_total",
            "Operations that an engine refused or failed, by error reason.",
            ("engine", "operation", "reason"),
            registry=registry,
        )
        self.store_seconds = Histogram(
            "tokend_store_seconds",
            "Time that the local engine's store took for an operation.",
            ("operation",),
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self._store_info = Gauge(
            "tokend_store_info", "Kind of the local engine's store; the value is 1.", ("kind",), registry=registry
        )
        self._store_file_behind = Gauge(
            "tokend_store_file_behind_seconds",
            "For how long writes could not be copied from the log into the database file; 0: none.",
            registry=registry,
        )
        self.cognito_request_seconds = Histogram(
            "tokend_cognito_request_seconds",
            "Time from a request to Cognito to its response; each retry is a request.",
            ("region", "operation"),
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.cognito_request_failures = Counter(
            "tokend_cognito_request_failures_total",
            "Requests to Cognito that failed, by AWS's error code or by the reason why no response arrived.",
            ("region", "operation", "code"),
            registry=registry,
        )
        self.cognito_answers = Counter(
            "tokend_cognito_answers_total",
            "Responses of Cognito pools by source: cognito, shared, reused or stale.",
            ("pool", "source"),
            registry=registry,
        )
        self.cognito_refused = Counter(
            "tokend_cognito_refused_total",
            "Calls that were not made, because of the quota or the maximum of waiting calls.",
            ("region", "limit"),
            registry=registry,
        )
        self.cognito_quota = Gauge(
            "tokend_cognito_quota_requests_per_second",
            "Configured maximum of this server's requests to Cognito for an operation in a second.",
            ("region",),
            registry=registry,
        )
        self.cognito_credentials_rejected = Gauge(
            "tokend_cognito_credentials_rejected",
            "Pools for which AWS currently rejects the service's own credentials, or there are none: 1 or 0 of each.",
            ("pool",),
            registry=registry,
        )
        self.kms_request_seconds = Histogram(
            "tokend_kms_request_seconds",
            "Time from a request to AWS KMS to its response; each retry is a request.",
            ("region", "operation"),
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.kms_request_failures = Counter(
            "tokend_kms_request_failures_total",
            "Requests to AWS KMS that failed, by AWS's error code or by the reason why no response arrived.",
            ("region", "operation", "code"),
            registry=registry,
        )
        self.kms_refused = Counter(
            "tokend_kms_refused_total",
            "Signatures that were not requested, because of the quota or the maximum of waiting calls.",
            ("region", "limit"),
            registry=registry,
        )
        self.calls_refused = Counter(
            "tokend_calls_refused_total",
            "Calls and new identities that were refused because there were too many, by limit.",
            ("limit",),
            registry=registry,
        )
        self.connections_ended = Counter(
            "tokend_connections_ended_total",
            "Connections to gRPC listeners that were closed to keep room for new ones, or because they were harmful.",
            registry=registry,
        )
        self.caller_tokens_refused = Counter(
            "tokend_caller_tokens_refused_total",
            "Refused JWTs of callers, by reason.",
            ("why",),
            registry=registry,
        )
        self.sds_tokens = Counter(
            "tokend_sds_tokens_total",
            "Tokens that streams of secrets requested, by outcome: issued or failed.",
            ("outcome",),
            registry=registry,
        )
        self.sds_receipts = Counter(
            "tokend_sds_receipts_total",
            "Clients' receipts of secrets: acknowledged, rejected, or stale (of an earlier response).",
            ("receipt",),
            registry=registry,
        )
        for outcome in ("issued", "failed"):
            self.sds_tokens.labels(outcome)
        for receipt in ("acknowledged", "rejected", "stale"):
            self.sds_receipts.labels(receipt)
        self._sds_streams = Gauge("tokend_sds_streams", "Streams of secrets.", registry=registry)
        self._sds_tokens_late = Gauge(
            "tokend_sds_tokens_late",
            "Tokens of streams that are past their refresh_time, or missing, because none could be issued.",
            registry=registry,
        )
        self.aws_calls = Counter(
            "tokend_aws_calls_total",
            "Completed calls of Cognito's own API, by operation and by code: OK, or the name of AWS's exception.",
            ("operation", "code"),
            registry=registry,
        )
        self.aws_call_seconds = Histogram(
            "tokend_aws_call_seconds",
            "Time from a complete request of Cognito's own API to its response.",
            ("operation",),
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.ext_authz_checks = Counter(
            "tokend_ext_authz_checks_total",
            "Checks of requests by Envoy by mapping and result: token, unauthenticated, denied, failed or let_through.",
            ("mapping", "result"),
            registry=registry,
        )
        self.mesh_tokens = Counter(
            "tokend_mesh_tokens_total",
            "Tokens for proxies by use and source: issued, shared or reused.",
            ("use", "source"),
            registry=registry,
        )
        self._mesh_tokens_kept = Gauge(
            "tokend_mesh_tokens_kept", "Tokens that are cached for reuse.", ("use",), registry=registry
        )
        self.log_records_dropped = Counter(
            "tokend_log_records_dropped_total",
            "Log records that could not be written: standard error is full, closed or broken.",
            registry=registry,
        )
        self.audit_failures = Counter(
            "tokend_audit_failures_total",
            "Calls whose audit record could not be written, by the operating system's error.",
            ("error",),
            registry=registry,
        )
        self.audit_omissions = Counter(
            "tokend_audit_records_omitted_total",
            "Refusals of unknown callers without their own audit line, because there were too many.",
            registry=registry,
        )
        self._tls_certificate_expiry = Gauge(
            "tokend_tls_certificate_expiry_timestamp_seconds",
            "When the current certificate of a listener expires.",
            ("listen",),
            registry=registry,
        )
        self._tls_files_stale = Gauge(
            "tokend_tls_files_stale",
            "1 while a listener's new TLS files cannot be used and the old ones are still used.",
            ("listen",),
            registry=registry,
        )
        self._tls_handshakes = Counter(
            "tokend_tls_handshakes_total", "Started TLS handshakes.", ("listen",), registry=registry
        )
        self._signing_key_age = Gauge(
            "tokend_signing_key_age_seconds", "Age of the key that signs now.", ("alg",), registry=registry
        )
        self._signing_keys = Gauge(
            "tokend_signing_keys",
            "Keys that this server publishes, by state: published, signing or retired.",
            ("alg", "state"),
            registry=registry,
        )
        self._signing_key_next_rotation = Gauge(
            "tokend_signing_key_next_rotation_timestamp_seconds",
            "When the next key should sign; in the past if none was added in time, infinite if none is planned.",
            ("alg",),
            registry=registry,
        )
        self.signing_key_failures = Counter(
            "tokend_signing_key_failures_total",
            "Failed steps of key management: to read keys, to add one, to remove one; to note who has fetched them, to "
            "activate one early.",
            ("step",),
            registry=registry,
        )
        self._verifiers = Gauge(
            "tokend_verifiers", "Verifiers that fetched keys from this server within the last day.", registry=registry
        )
        self._verifiers_behind = Gauge(
            "tokend_verifiers_behind",
            "Verifiers of any server within the last day that may not have the next signing key; 0 while none waits.",
            registry=registry,
        )
        self.verifiers_uncounted = Counter(
            "tokend_verifiers_uncounted_total",
            "Fetches of keys by verifiers that were not recorded, because there were too many.",
            registry=registry,
        )

    def pool_label(self, identity_pool_id: str) -> str:
        """Returns the `pool` label of a pool; not thread-safe."""
        if len(self._pool_labels) < self._labelled_pools:
            self._pool_labels.add(identity_pool_id)
        return identity_pool_id if identity_pool_id in self._pool_labels else OTHER_POOLS

    def set_store_kind(self, kind: str) -> None:
        """Reports the kind of the store, such as `sqlite`, to be joined with other metrics of the server."""
        self._store_info.labels(kind).set(1)

    def tls_gauges(self, listener: str) -> TlsGauges:
        """Returns the metrics of a listener's TLS files."""
        return TlsGauges(
            self._tls_certificate_expiry.labels(listener).set,
            self._tls_files_stale.labels(listener).set,
            self._tls_handshakes.labels(listener).inc,
        )

    def watch_secret_streams(self, streams: Callable[[], float], late: Callable[[], float]) -> None:
        """Sets the sources of the number of streams of secrets, and of their late tokens."""
        self._sds_streams.set_function(streams)
        self._sds_tokens_late.set_function(late)

    def watch_mesh_tokens(self, use: str, count: Callable[[], float]) -> None:
        """Sets the source of the number of cached tokens for a use."""
        self._mesh_tokens_kept.labels(use).set_function(count)

    def watch_store_file(self, seconds_behind: Callable[[], float]) -> None:
        """Sets the source of the seconds for which the database file has been behind its log."""
        self._store_file_behind.set_function(seconds_behind)

    def watch_signing_keys(
        self,
        algorithm: str,
        age: Callable[[], float],
        next_rotation: Callable[[], float],
        counts: Mapping[str, Callable[[], float]],
    ) -> None:
        """Sets the sources of the metrics of an algorithm's signing keys.

        Args:
            algorithm: The algorithm.
            age: Returns the age of the key that signs, in seconds.
            next_rotation: Returns when the next key should sign, in seconds since the Unix epoch.
            counts: Return the number of keys, by state.
        """
        self._signing_key_age.labels(algorithm).set_function(age)
        self._signing_key_next_rotation.labels(algorithm).set_function(next_rotation)
        for state, count in counts.items():
            self._signing_keys.labels(algorithm, state).set_function(count)

    def watch_verifiers(self, known: Callable[[], float], behind: Callable[[], float]) -> None:
        """Sets the sources of the metrics of verifiers.

        Args:
            known: Returns the number of verifiers that fetched keys from this server within a day.
            behind: Returns the number of verifiers of all servers that may not have a waiting key.
        """
        self._verifiers.set_function(known)
        self._verifiers_behind.set_function(behind)

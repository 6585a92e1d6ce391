"""The metrics of the service; server/metrics.md lists them, and a test keeps the two equal."""

from collections.abc import Callable, Mapping
from functools import partial

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

    def __init__(self, registry: CollectorRegistry, *, labelled_pools: int = 1000) -> None:  # noqa: PLR0915 - one for each metric
        self.registry = registry
        self._labelled_pools = labelled_pools
        self._pool_labels: set[str] = set()
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry, buckets=SECONDS_BUCKETS)
        self.grpc_server_started = counter("grpc_server_started_total", "RPCs started on the server.", _METHOD)
        self.grpc_server_handled = counter(
            "grpc_server_handled_total",
            "RPCs completed on the server, whatever their outcome.",
            (*_METHOD, "grpc_code"),
        )
        self.grpc_server_handling_seconds = histogram(
            "grpc_server_handling_seconds", "Time from an RPC's start on the server to its completion.", _METHOD
        )
        self.ready = gauge("tokend_ready", "1 while /readyz returns 200, else 0.")
        self.tokens_issued = counter("tokend_tokens_issued_total", "Tokens issued.", ("engine", "pool", "alg"))
        self.identities = counter(
            "tokend_identities_total",
            "Calls by what they did to an identity: created, linked, retrieved or merged.",
            ("engine", "pool", "outcome"),
        )
        self.engine_seconds = histogram(
            "tokend_engine_seconds", "Time that an engine took for an operation.", ("engine", "operation")
        )
        self.engine_failures = counter(
            "tokend_engine_failures_total",
            "Operations that an engine refused or failed, by error reason.",
            ("engine", "operation", "reason"),
        )
        self.store_seconds = histogram(
            "tokend_store_seconds", "Time that the local engine's store took for an operation.", ("operation",)
        )
        self._store_info = gauge("tokend_store_info", "Kind of the local engine's store; the value is 1.", ("kind",))
        self._store_file_behind = gauge(
            "tokend_store_file_behind_seconds",
            "For how long writes could not be copied from the log into the database file; 0: none.",
        )
        self.cognito_request_seconds = histogram(
            "tokend_cognito_request_seconds",
            "Time from a request to Cognito to its response; each retry is a request.",
            ("region", "operation"),
        )
        self.cognito_request_failures = counter(
            "tokend_cognito_request_failures_total",
            "Requests to Cognito that failed, by AWS's error code or by the reason why no response arrived.",
            ("region", "operation", "code"),
        )
        self.cognito_answers = counter(
            "tokend_cognito_answers_total",
            "Responses of Cognito pools by source: cognito, shared, reused or stale.",
            ("pool", "source"),
        )
        self.cognito_refused = counter(
            "tokend_cognito_refused_total",
            "Calls that were not made, because of the quota or the maximum of waiting calls.",
            ("region", "limit"),
        )
        self.cognito_quota = gauge(
            "tokend_cognito_quota_requests_per_second",
            "Configured maximum of this server's requests to Cognito for an operation in a second.",
            ("region",),
        )
        self.cognito_credentials_rejected = gauge(
            "tokend_cognito_credentials_rejected",
            "Pools for which AWS currently rejects the service's own credentials, or there are none: 1 or 0 of each.",
            ("pool",),
        )
        self.kms_request_seconds = histogram(
            "tokend_kms_request_seconds",
            "Time from a request to AWS KMS to its response; each retry is a request.",
            ("region", "operation"),
        )
        self.kms_request_failures = counter(
            "tokend_kms_request_failures_total",
            "Requests to AWS KMS that failed, by AWS's error code or by the reason why no response arrived.",
            ("region", "operation", "code"),
        )
        self.kms_refused = counter(
            "tokend_kms_refused_total",
            "Signatures that were not requested, because of the quota or the maximum of waiting calls.",
            ("region", "limit"),
        )
        self.calls_refused = counter(
            "tokend_calls_refused_total",
            "Calls and new identities that were refused because there were too many, by limit.",
            ("limit",),
        )
        self.connections_ended = counter(
            "tokend_connections_ended_total",
            "Connections to gRPC listeners that were closed to keep room for new ones, or because they were harmful.",
        )
        self.caller_tokens_refused = counter(
            "tokend_caller_tokens_refused_total", "Refused JWTs of callers, by reason.", ("why",)
        )
        self.sds_tokens = counter(
            "tokend_sds_tokens_total",
            "Tokens that streams of secrets requested, by outcome: issued or failed.",
            ("outcome",),
        )
        self.sds_receipts = counter(
            "tokend_sds_receipts_total",
            "Clients' receipts of secrets: acknowledged, rejected, or stale (of an earlier response).",
            ("receipt",),
        )
        for outcome in ("issued", "failed"):
            self.sds_tokens.labels(outcome)
        for receipt in ("acknowledged", "rejected", "stale"):
            self.sds_receipts.labels(receipt)
        self._sds_streams = gauge("tokend_sds_streams", "Streams of secrets.")
        self._sds_tokens_late = gauge(
            "tokend_sds_tokens_late",
            "Tokens of streams that are past their refresh_time, or missing, because none could be issued.",
        )
        self.aws_calls = counter(
            "tokend_aws_calls_total",
            "Completed calls of Cognito's own API, by operation and by code: OK, or the name of AWS's exception.",
            ("operation", "code"),
        )
        self.aws_call_seconds = histogram(
            "tokend_aws_call_seconds",
            "Time from a complete request of Cognito's own API to its response.",
            ("operation",),
        )
        self.ext_authz_checks = counter(
            "tokend_ext_authz_checks_total",
            "Checks of requests by Envoy by mapping and result: token, unauthenticated, denied, failed or let_through.",
            ("mapping", "result"),
        )
        self.mesh_tokens = counter(
            "tokend_mesh_tokens_total",
            "Tokens for proxies by use and source: issued, shared or reused.",
            ("use", "source"),
        )
        self._mesh_tokens_kept = gauge("tokend_mesh_tokens_kept", "Tokens that are cached for reuse.", ("use",))
        self.log_records_dropped = counter(
            "tokend_log_records_dropped_total",
            "Log records that could not be written: standard error is full, closed or broken.",
        )
        self.audit_failures = counter(
            "tokend_audit_failures_total",
            "Calls whose audit record could not be written, by the operating system's error.",
            ("error",),
        )
        self.audit_omissions = counter(
            "tokend_audit_records_omitted_total",
            "Refusals of unknown callers without their own audit line, because there were too many.",
        )
        self._tls_certificate_expiry = gauge(
            "tokend_tls_certificate_expiry_timestamp_seconds",
            "When the current certificate of a listener expires.",
            ("listen",),
        )
        self._tls_files_stale = gauge(
            "tokend_tls_files_stale",
            "1 while a listener's new TLS files cannot be used and the old ones are still used.",
            ("listen",),
        )
        self._tls_handshakes = counter("tokend_tls_handshakes_total", "Started TLS handshakes.", ("listen",))
        self._signing_key_age = gauge("tokend_signing_key_age_seconds", "Age of the key that signs now.", ("alg",))
        self._signing_keys = gauge(
            "tokend_signing_keys",
            "Keys that this server publishes, by state: published, signing or retired.",
            ("alg", "state"),
        )
        self._signing_key_next_rotation = gauge(
            "tokend_signing_key_next_rotation_timestamp_seconds",
            "When the next key should sign; in the past if none was added in time, infinite if none is planned.",
            ("alg",),
        )
        self.signing_key_failures = counter(
            "tokend_signing_key_failures_total",
            "Failed steps of key management: to read keys, to add one, to remove one; to note who has fetched them, to "
            "activate one early.",
            ("step",),
        )
        self._verifiers = gauge("tokend_verifiers", "Verifiers that fetched keys from this server within the last day.")
        self._verifiers_behind = gauge(
            "tokend_verifiers_behind",
            "Verifiers of any server within the last day that may not have the next signing key; 0 while none waits.",
        )
        self.verifiers_uncounted = counter(
            "tokend_verifiers_uncounted_total",
            "Fetches of keys by verifiers that were not recorded, because there were too many.",
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

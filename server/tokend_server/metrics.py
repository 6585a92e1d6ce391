"""The metrics of the service; server/metrics.md lists them, and a test keeps the two equal."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tokend_server.tls_files import TlsGauges

#: From the half millisecond of a warm call to the seconds of a hanging dependency.
SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: The `pool` of those that have no series of their own.
OTHER_POOLS = "other"

_METHOD = ("grpc_type", "grpc_service", "grpc_method")


class Metrics:
    """All collectors, on a registry of their own.

    The `grpc_server_*` names are those of go-grpc-middleware, so that dashboards made for it fit.

    Args:
        registry: The registry.
        labelled_pools: How many pools have series of their own, the first that ask; the others share `pool="other"`,
            so that an answer does not grow with the number of pools.
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
        self.ready = Gauge("tokend_ready", "1 while /readyz says 200, else 0.", registry=registry)
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
            "For how long the database file has lacked something that could not be copied from its log; 0: nothing.",
            registry=registry,
        )
        self.cognito_request_seconds = Histogram(
            "tokend_cognito_request_seconds",
            "Time from a request to Cognito to its answer; each retry is a request.",
            ("region", "operation"),
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.cognito_request_failures = Counter(
            "tokend_cognito_request_failures_total",
            "Requests to Cognito that failed, by AWS's error code or by what kept the answer away.",
            ("region", "operation", "code"),
            registry=registry,
        )
        self.cognito_answers = Counter(
            "tokend_cognito_answers_total",
            "Answers of Cognito pools by where they came from: cognito, shared, reused or stale.",
            ("pool", "source"),
            registry=registry,
        )
        self.cognito_refused = Counter(
            "tokend_cognito_refused_total",
            "Calls that were not made, to keep below the quota or the most calls that may wait.",
            ("region", "limit"),
            registry=registry,
        )
        self.cognito_quota = Gauge(
            "tokend_cognito_quota_requests_per_second",
            "Requests for an operation that this server may make of Cognito in a second, as the configuration says.",
            ("region",),
            registry=registry,
        )
        self.cognito_credentials_rejected = Gauge(
            "tokend_cognito_credentials_rejected",
            "Pools for which AWS refuses the service's own credentials now, or there are none: 1 or 0 of each.",
            ("pool",),
            registry=registry,
        )
        self.kms_request_seconds = Histogram(
            "tokend_kms_request_seconds",
            "Time from a request to AWS KMS to its answer; each retry is a request.",
            ("region", "operation"),
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.kms_request_failures = Counter(
            "tokend_kms_request_failures_total",
            "Requests to AWS KMS that failed, by AWS's error code or by what kept the answer away.",
            ("region", "operation", "code"),
            registry=registry,
        )
        self.kms_refused = Counter(
            "tokend_kms_refused_total",
            "Signatures that were not asked for, to keep below the quota or the most calls that may wait.",
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
            "Connections to gRPC listeners that were ended to keep room for new ones, or because they did harm.",
            registry=registry,
        )
        self.caller_tokens_refused = Counter(
            "tokend_caller_tokens_refused_total",
            "Callers' JWTs that proved nothing, by why.",
            ("why",),
            registry=registry,
        )
        self.sds_tokens = Counter(
            "tokend_sds_tokens_total",
            "Tokens that streams of secrets wanted, by outcome: issued or failed.",
            ("outcome",),
            registry=registry,
        )
        self.sds_receipts = Counter(
            "tokend_sds_receipts_total",
            "What clients said of secrets they were sent: acknowledged, rejected, or stale (of an earlier response).",
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
            "Calls of Cognito's own API that ended, by operation and by code: OK, or the name of AWS's exception.",
            ("operation", "code"),
            registry=registry,
        )
        self.aws_call_seconds = Histogram(
            "tokend_aws_call_seconds",
            "Time from a whole request of Cognito's own API to its answer.",
            ("operation",),
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.ext_authz_checks = Counter(
            "tokend_ext_authz_checks_total",
            "Requests that Envoy asked about, by mapping and by what became of them: token, unauthenticated, denied, "
            "failed or let_through.",
            ("mapping", "result"),
            registry=registry,
        )
        self.mesh_tokens = Counter(
            "tokend_mesh_tokens_total",
            "Tokens that proxies got, by what for and by where they came from: issued, shared or reused.",
            ("use", "source"),
            registry=registry,
        )
        self._mesh_tokens_kept = Gauge(
            "tokend_mesh_tokens_kept", "Tokens that are kept to be given out again.", ("use",), registry=registry
        )
        self.log_records_dropped = Counter(
            "tokend_log_records_dropped_total",
            "Log records that nothing took: standard error is full, closed or broken.",
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
            "Refusals of callers who are not known that have no audit line of their own, since there were too many.",
            registry=registry,
        )
        self._tls_certificate_expiry = Gauge(
            "tokend_tls_certificate_expiry_timestamp_seconds",
            "When the certificate that a listener serves with expires.",
            ("listen",),
            registry=registry,
        )
        self._tls_files_stale = Gauge(
            "tokend_tls_files_stale",
            "1 while a listener's TLS files cannot be used and those before them still serve.",
            ("listen",),
            registry=registry,
        )
        self._tls_handshakes = Counter(
            "tokend_tls_handshakes_total", "Handshakes that have begun.", ("listen",), registry=registry
        )
        self._signing_key_age = Gauge(
            "tokend_signing_key_age_seconds", "Age of the key that signs now.", ("alg",), registry=registry
        )
        self._signing_keys = Gauge(
            "tokend_signing_keys",
            "Keys that this server publishes, by what they do now: published, signing or retired.",
            ("alg", "state"),
            registry=registry,
        )
        self._signing_key_next_rotation = Gauge(
            "tokend_signing_key_next_rotation_timestamp_seconds",
            "When another key is to sign; the past where none was added in time, infinite where none is to come.",
            ("alg",),
            registry=registry,
        )
        self.signing_key_failures = Counter(
            "tokend_signing_key_failures_total",
            "What failed about signing keys: to read them, to add one, to remove one; to note who has fetched them, to "
            "have one sign before its time.",
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
            "Fetches of keys by verifiers that were not taken note of, since there were too many.",
            registry=registry,
        )

    def pool_label(self, identity_pool_id: str) -> str:
        """The `pool` of a pool; not for several threads at once."""
        if len(self._pool_labels) < self._labelled_pools:
            self._pool_labels.add(identity_pool_id)
        return identity_pool_id if identity_pool_id in self._pool_labels else OTHER_POOLS

    def tell_store(self, kind: str) -> None:
        """Reports the kind of the store, such as `sqlite`, to be joined with other metrics of the server."""
        self._store_info.labels(kind).set(1)

    def tls_gauges(self, listener: str) -> TlsGauges:
        """Where the state of a listener's TLS files is reported."""
        return TlsGauges(
            self._tls_certificate_expiry.labels(listener).set,
            self._tls_files_stale.labels(listener).set,
            self._tls_handshakes.labels(listener).inc,
        )

    def watch_streams_of_secrets(self, streams: Callable[[], float], late: Callable[[], float]) -> None:
        """Reports how many streams of secrets there are, and how many of their tokens are late."""
        self._sds_streams.set_function(streams)
        self._sds_tokens_late.set_function(late)

    def watch_mesh_tokens(self, use: str, count: Callable[[], float]) -> None:
        """Reports how many tokens are kept for a use whenever metrics are read."""
        self._mesh_tokens_kept.labels(use).set_function(count)

    def watch_store_file(self, seconds_behind: Callable[[], float]) -> None:
        """Reports for how long the database file has been behind its log, in seconds, whenever metrics are read."""
        self._store_file_behind.set_function(seconds_behind)

    def watch_signing_keys(
        self,
        algorithm: str,
        age: Callable[[], float],
        next_rotation: Callable[[], float],
        counts: Mapping[str, Callable[[], float]],
    ) -> None:
        """Reports on the signing keys of an algorithm whenever metrics are read.

        Args:
            algorithm: The algorithm.
            age: The age of the key that signs, in seconds.
            next_rotation: When another one is to sign, in seconds since the Unix epoch.
            counts: How many keys there are, by what they do.
        """
        self._signing_key_age.labels(algorithm).set_function(age)
        self._signing_key_next_rotation.labels(algorithm).set_function(next_rotation)
        for state, count in counts.items():
            self._signing_keys.labels(algorithm, state).set_function(count)

    def watch_verifiers(self, known: Callable[[], float], behind: Callable[[], float]) -> None:
        """Reports on who fetches keys whenever metrics are read.

        Args:
            known: How many verifiers fetched from this server within a day.
            behind: How many of all servers may not have a key that waits to sign.
        """
        self._verifiers.set_function(known)
        self._verifiers_behind.set_function(behind)

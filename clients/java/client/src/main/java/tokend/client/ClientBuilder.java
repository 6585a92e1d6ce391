package tokend.client;

import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.CompositeChannelCredentials;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;
import io.opentelemetry.api.OpenTelemetry;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;

/** Builds a {@link Client}. */
public final class ClientBuilder {
  // The error of a request with many violations arrives in headers that exceed gRPC's default limit of 8 KiB.
  private static final int MAX_INBOUND_METADATA = 64 * 1024;

  // The largest valid request must fit into the buffer, or it would not be retried.
  private static final long RETRY_BUFFER = 4 * 1024 * 1024;

  private final String target;
  private final List<ClientInterceptor> interceptors = new ArrayList<>();
  private final List<ClientMetrics> metrics = new ArrayList<>();
  private BiFunction<String, ChannelCredentials, ManagedChannelBuilder<?>> transport = Grpc::newChannelBuilder;
  private ChannelCredentials credentials = TlsChannelCredentials.create();
  private @Nullable Path bearerTokenFile;
  private Duration deadline = Duration.ofSeconds(3);
  private Duration keepAliveTime = Duration.ofSeconds(30);
  private Duration keepAliveTimeout = Duration.ofSeconds(3);
  private boolean usesProxies;

  ClientBuilder(String target) {
    this.target = target;
  }

  /**
   * Disables TLS: for the loopback, for unix sockets, and for a sidecar that adds TLS.
   *
   * @return this
   */
  public ClientBuilder plaintext() {
    return channelCredentials(InsecureChannelCredentials.create());
  }

  /**
   * Sets the channel credentials, such as TLS with your own CA or a client certificate.
   *
   * @param value the credentials
   * @return this
   */
  public ClientBuilder channelCredentials(ChannelCredentials value) {
    credentials = Objects.requireNonNull(value, "value");
    return this;
  }

  /**
   * Authenticates calls with the bearer token in a file, such as a Kubernetes service account token. Each call reads
   * the file again. The token is not sent in plaintext.
   *
   * @param value the file
   * @return this
   */
  public ClientBuilder bearerTokenFile(Path value) {
    bearerTokenFile = Objects.requireNonNull(value, "value");
    return this;
  }

  /**
   * Sets the deadline of calls, including retries.
   *
   * @param value the deadline; 3 seconds by default
   * @return this
   */
  public ClientBuilder deadline(Duration value) {
    deadline = requirePositive(value, "deadline");
    return this;
  }

  /**
   * Sets the keepalive pings that detect dead connections. They are also sent while there are no calls.
   *
   * @param time the time without traffic before a ping; 30 seconds by default, at least 10 in gRPC
   * @param timeout how long to wait for the response before the connection is closed; 3 seconds by default
   * @return this
   */
  public ClientBuilder keepAlive(Duration time, Duration timeout) {
    keepAliveTime = requirePositive(time, "time");
    keepAliveTimeout = requirePositive(timeout, "timeout");
    return this;
  }

  /**
   * Connects through the proxy in the JVM's settings, such as {@code https.proxyHost}. By default, no proxy is used.
   *
   * @return this
   */
  public ClientBuilder environmentProxy() {
    usesProxies = true;
    return this;
  }

  /**
   * Adds interceptors, for example for traces or metrics. They see each call once, regardless of its attempts.
   *
   * @param values the interceptors; the last one sees a call first
   * @return this
   */
  public ClientBuilder intercept(ClientInterceptor... values) {
    interceptors.addAll(List.of(values));
    return this;
  }

  /**
   * Counts refreshes, stale tokens, users and evictions through OpenTelemetry.
   *
   * @param value such as {@code GlobalOpenTelemetry.get()}
   * @return this
   */
  public ClientBuilder openTelemetry(OpenTelemetry value) {
    return metrics(new OpenTelemetryMetrics(Objects.requireNonNull(value, "value")));
  }

  /**
   * Counts refreshes, stale tokens, users and evictions with a custom implementation, or in Micrometer with {@code
   * tokend-micrometer}. May be called more than once.
   *
   * @param value receives each event; by default nothing is counted
   * @return this
   */
  public ClientBuilder metrics(ClientMetrics value) {
    metrics.add(Objects.requireNonNull(value, "value"));
    return this;
  }

  /**
   * Replaces the transport, for example with an in-process one. All other settings apply to it, too.
   *
   * @param value creates a channel builder from the target and the credentials
   * @return this
   */
  public ClientBuilder transport(BiFunction<String, ChannelCredentials, ManagedChannelBuilder<?>> value) {
    transport = Objects.requireNonNull(value, "value");
    return this;
  }

  /**
   * Builds the client. It connects with the first call.
   *
   * @return the client
   * @throws IllegalStateException if both {@link #bearerTokenFile} and {@link #plaintext} are set
   */
  public Client build() {
    SpreadingRoundRobin.register();
    ManagedChannelBuilder<?> channel =
        transport
            .apply(target, identifying())
            // Transports differ in whether retries are on by default; the service config should apply to all.
            .enableRetry()
            .perRpcBufferLimit(RETRY_BUFFER)
            .defaultServiceConfig(ServiceConfig.spreading(deadline))
            .userAgent("tokend-java/" + Telemetry.VERSION)
            .maxInboundMetadataSize(MAX_INBOUND_METADATA)
            .keepAliveTime(TimeUnit.NANOSECONDS.convert(keepAliveTime), TimeUnit.NANOSECONDS)
            .keepAliveTimeout(TimeUnit.NANOSECONDS.convert(keepAliveTimeout), TimeUnit.NANOSECONDS)
            .keepAliveWithoutCalls(true)
            // The first one is the innermost: the user's interceptors see one call, regardless of its attempts.
            .intercept(new SecondAttempt(deadline, Deadline.getSystemTicker()))
            .intercept(interceptors);
    if (!usesProxies) {
      channel.proxyDetector(address -> null);
    }
    return new Client(channel.build(), deadline, new Telemetry(metrics));
  }

  static Duration requirePositive(Duration value, String name) {
    if (Objects.requireNonNull(value, name).isNegative() || value.isZero()) {
      throw new IllegalArgumentException(name + " must be positive: " + value);
    }
    return value;
  }

  private ChannelCredentials identifying() {
    if (bearerTokenFile == null) {
      return credentials;
    }
    if (credentials instanceof InsecureChannelCredentials) {
      throw new IllegalStateException("a bearer token is not sent in plaintext");
    }
    return CompositeChannelCredentials.create(credentials, new BearerTokenFile(bearerTokenFile));
  }
}

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

/** Gathers what a {@link Client} needs. */
public final class ClientBuilder {
  // The failure of a request with very many violations comes in headers that outgrow gRPC's default of 8 KiB.
  private static final int MOST_INBOUND_METADATA = 64 * 1024;

  // A request that is as large as it may be must fit, or else it is not retried.
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
   * Speaks without TLS: for the loopback, for unix sockets, and for a sidecar that adds TLS.
   *
   * @return this
   */
  public ClientBuilder plaintext() {
    return channelCredentials(InsecureChannelCredentials.create());
  }

  /**
   * Sets how connections are secured, such as TLS with a CA or a client certificate of one's own.
   *
   * @param value the credentials
   * @return this
   */
  public ClientBuilder channelCredentials(ChannelCredentials value) {
    credentials = Objects.requireNonNull(value, "value");
    return this;
  }

  /**
   * Tells tokend who calls by the bearer token in a file, such as a Kubernetes service account's. Each call reads the file
   * again. The token is not sent in plaintext.
   *
   * @param value the file
   * @return this
   */
  public ClientBuilder bearerTokenFile(Path value) {
    bearerTokenFile = Objects.requireNonNull(value, "value");
    return this;
  }

  /**
   * Sets how long a call may take, with its retries.
   *
   * @param value the deadline; 3 seconds by default
   * @return this
   */
  public ClientBuilder deadline(Duration value) {
    deadline = requirePositive(value, "deadline");
    return this;
  }

  /**
   * Sets how connections are found that do not answer any more: they are pinged, also while there are no calls.
   *
   * @param time how long a connection is silent before a ping; 30 seconds by default, and gRPC makes less than 10 into 10
   * @param timeout how long the answer may take before the connection is given up; 3 seconds by default
   * @return this
   */
  public ClientBuilder keepAlive(Duration time, Duration timeout) {
    keepAliveTime = requirePositive(time, "time");
    keepAliveTimeout = requirePositive(timeout, "timeout");
    return this;
  }

  /**
   * Connects through the proxy that the JVM's settings name, such as {@code https.proxyHost}. Without this, no proxy is
   * used.
   *
   * @return this
   */
  public ClientBuilder environmentProxy() {
    usesProxies = true;
    return this;
  }

  /**
   * Adds interceptors, such as those that trace or count calls. They see a call once, whatever its attempts.
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
   * Counts refreshes, stale tokens, users and evictions in a way of one's own, or in Micrometer by {@code
   * tokend-micrometer}. More than one may count.
   *
   * @param value gets each event; by default nothing is counted
   * @return this
   */
  public ClientBuilder metrics(ClientMetrics value) {
    metrics.add(Objects.requireNonNull(value, "value"));
    return this;
  }

  /**
   * Replaces the transport, for example by one within the process. All other settings hold for it, too.
   *
   * @param value makes a channel builder from the target and the credentials
   * @return this
   */
  public ClientBuilder transport(BiFunction<String, ChannelCredentials, ManagedChannelBuilder<?>> value) {
    transport = Objects.requireNonNull(value, "value");
    return this;
  }

  /**
   * Builds the client. It connects when the first call needs it.
   *
   * @return the client
   * @throws IllegalStateException when both {@link #bearerTokenFile} and {@link #plaintext} are asked for
   */
  public Client build() {
    SpreadingRoundRobin.register();
    ManagedChannelBuilder<?> channel =
        transport
            .apply(target, identifying())
            // Transports differ in whether they retry by themselves; the service config is to hold for all.
            .enableRetry()
            .perRpcBufferLimit(RETRY_BUFFER)
            .defaultServiceConfig(ServiceConfig.spreading(deadline))
            .userAgent("tokend-java/" + Telemetry.VERSION)
            .maxInboundMetadataSize(MOST_INBOUND_METADATA)
            .keepAliveTime(TimeUnit.NANOSECONDS.convert(keepAliveTime), TimeUnit.NANOSECONDS)
            .keepAliveTimeout(TimeUnit.NANOSECONDS.convert(keepAliveTimeout), TimeUnit.NANOSECONDS)
            .keepAliveWithoutCalls(true)
            // The first one is the innermost: the user's see one call, whatever its attempts.
            .intercept(new SecondAttempt(deadline, Deadline.getSystemTicker()))
            .intercept(interceptors);
    if (!usesProxies) {
      channel.proxyDetector(address -> null);
    }
    return new Client(channel.build(), deadline, new Telemetry(metrics));
  }

  static Duration requirePositive(Duration value, String name) {
    if (Objects.requireNonNull(value, name).isNegative() || value.isZero()) {
      throw new IllegalArgumentException(name + " must be more than zero: " + value);
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

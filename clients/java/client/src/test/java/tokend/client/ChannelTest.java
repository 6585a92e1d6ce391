package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.google.protobuf.Timestamp;
import io.grpc.ChannelCredentials;
import io.grpc.ConnectivityState;
import io.grpc.ForwardingChannelBuilder2;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.protobuf.services.HealthStatusManager;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.ServerSocket;
import java.net.SocketAddress;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityResponse;

/** The connections of a client: keepalive, proxies and reconnection. */
class ChannelTest {
  private static final TokenRequest ALICE = TokenRequest.of("pool", "provider", "alice");
  private static final GetOpenIdTokenForDeveloperIdentityResponse TOKEN =
      GetOpenIdTokenForDeveloperIdentityResponse.newBuilder()
          .setExpireTime(Timestamp.newBuilder().setSeconds(900))
          .build();

  private final ScriptedService service = new ScriptedService();
  private final ProxySelector selector = ProxySelector.getDefault();
  private Server server;

  @BeforeEach
  void start() throws IOException {
    server = serve(0);
  }

  @AfterEach
  void stop() throws InterruptedException {
    ProxySelector.setDefault(selector);
    server.shutdownNow().awaitTermination();
  }

  private Server serve(int port) throws IOException {
    return ScriptedServer.with(
            Grpc.newServerBuilderForPort(port, InsecureServerCredentials.create()), service, new HealthStatusManager())
        .build()
        .start();
  }

  private static ClientBuilder client(String target) {
    return Client.builder(target).plaintext().deadline(ScriptedServer.TIMEOUT);
  }

  /** A transport that records its keepalive settings and its channel. */
  private static final class Recorder extends ForwardingChannelBuilder2<Recorder> {
    final List<String> keepAlive = new ArrayList<>();
    final CompletableFuture<ManagedChannel> channel = new CompletableFuture<>();
    private final ManagedChannelBuilder<?> delegate;

    Recorder(String target, ChannelCredentials credentials) {
      this.delegate = Grpc.newChannelBuilder(target, credentials);
    }

    @Override
    public ManagedChannel build() {
      ManagedChannel built = super.build();
      channel.complete(built);
      return built;
    }

    @Override
    protected ManagedChannelBuilder<?> delegate() {
      return delegate;
    }

    @Override
    public Recorder keepAliveTime(long time, TimeUnit unit) {
      keepAlive.add("time " + unit.toMillis(time));
      return super.keepAliveTime(time, unit);
    }

    @Override
    public Recorder keepAliveTimeout(long time, TimeUnit unit) {
      keepAlive.add("timeout " + unit.toMillis(time));
      return super.keepAliveTimeout(time, unit);
    }

    @Override
    public Recorder keepAliveWithoutCalls(boolean enable) {
      keepAlive.add("without calls " + enable);
      return super.keepAliveWithoutCalls(enable);
    }
  }

  private static List<String> keepAliveOf(ClientBuilder builder) {
    Recorder[] recorder = new Recorder[1];
    builder
        .plaintext()
        .transport((target, credentials) -> recorder[0] = new Recorder(target, credentials))
        .build()
        .close();
    return recorder[0].keepAlive;
  }

  @Test
  void connectionsArePingedWithoutCalls() {
    assertThat(keepAliveOf(Client.builder("localhost:1")))
        .containsExactly("time 30000", "timeout 3000", "without calls true");
    assertThat(keepAliveOf(Client.builder("localhost:1").keepAlive(Duration.ofSeconds(10), Duration.ofSeconds(1))))
        .containsExactly("time 10000", "timeout 1000", "without calls true");
  }

  @Test
  void hungConnectionIsClosed() throws Exception {
    service.then(TOKEN);
    service.then(TOKEN);
    try (Relay relay = new Relay(server.getPort());
        Client client =
            client("localhost:" + relay.port())
                .keepAlive(Duration.ofSeconds(10), Duration.ofMillis(500))
                .build()) {
      client.getOpenIdTokenForDeveloperIdentity(ALICE);
      assertThat(relay.accepted.poll(10, TimeUnit.SECONDS)).isNotNull();

      relay.hang();

      assertThat(relay.accepted.poll(60, TimeUnit.SECONDS)).as("a second connection").isNotNull();
      assertThat(client.getOpenIdTokenForDeveloperIdentity(ALICE).expireTime().getEpochSecond()).isEqualTo(900);
    }
  }

  @Test
  void clientReconnectsWithinSecondsWithoutCalls() throws Exception {
    int port = server.getPort();
    service.then(TOKEN);
    service.then(TOKEN);
    Recorder[] recorder = new Recorder[1];
    try (Client client =
        client("localhost:" + port)
            .transport((target, credentials) -> recorder[0] = new Recorder(target, credentials))
            .build()) {
      client.getOpenIdTokenForDeveloperIdentity(ALICE);
      server.shutdownNow().awaitTermination();
      // By then, gRPC's own back-off would exceed the maximum time between attempts.
      awaitAttempts(port, 8, Duration.ofSeconds(5));
      server = serve(port);
      awaitReady(recorder[0].channel.join());

      assertThat(client.getOpenIdTokenForDeveloperIdentity(ALICE).expireTime().getEpochSecond()).isEqualTo(900);
    }
  }

  /** Accepts this many connections on a port, each within this time of the previous one, and closes them at once. */
  private static void awaitAttempts(int port, int count, Duration apart) throws IOException {
    try (ServerSocket socket = new ServerSocket()) {
      socket.setReuseAddress(true);
      socket.bind(new InetSocketAddress(port));
      socket.setSoTimeout((int) apart.toMillis());
      for (int attempt = 0; attempt < count; attempt++) {
        socket.accept().close();
      }
    }
  }

  private static void awaitReady(ManagedChannel channel) throws Exception {
    for (ConnectivityState state = channel.getState(false);
        state != ConnectivityState.READY;
        state = channel.getState(false)) {
      CompletableFuture<@Nullable Void> changed = new CompletableFuture<>();
      channel.notifyWhenStateChanged(state, () -> changed.complete(null));
      changed.get(ScriptedServer.TIMEOUT.toSeconds(), TimeUnit.SECONDS);
    }
  }

  /** Selects a proxy on a port that refuses connections, for all addresses. */
  private static final class Nowhere extends ProxySelector {
    final List<URI> asked = new CopyOnWriteArrayList<>();
    private final int port;

    Nowhere(int port) {
      this.port = port;
    }

    @Override
    public List<Proxy> select(URI uri) {
      asked.add(uri);
      return List.of(new Proxy(Proxy.Type.HTTP, new InetSocketAddress("localhost", port)));
    }

    @Override
    public void connectFailed(URI uri, SocketAddress address, IOException e) {}
  }

  @Test
  void proxyIsNotUsedByDefault() throws Exception {
    service.then(TOKEN);
    Nowhere nowhere;
    try (ServerSocket closed = new ServerSocket(0)) {
      nowhere = new Nowhere(closed.getLocalPort());
    }
    ProxySelector.setDefault(nowhere);
    String target = "localhost:" + server.getPort();

    try (Client direct = client(target).build();
        Client proxied = client(target).environmentProxy().build()) {
      direct.getOpenIdTokenForDeveloperIdentity(ALICE);
      assertThat(nowhere.asked).isEmpty();
      assertThatExceptionOfType(TokendException.class)
          .isThrownBy(() -> proxied.getOpenIdTokenForDeveloperIdentity(ALICE))
          .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.UNAVAILABLE));
      assertThat(nowhere.asked).isNotEmpty();
    }
  }
}

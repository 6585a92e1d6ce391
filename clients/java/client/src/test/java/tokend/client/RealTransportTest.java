package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.google.protobuf.Message;
import com.google.protobuf.Timestamp;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import io.grpc.ForwardingServerCallListener;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.InsecureServerCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerCredentials;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.TlsServerCredentials;
import io.grpc.protobuf.services.HealthStatusManager;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tokend.v1.DeveloperIdentityServiceGrpc;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityResponse;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;

/** Tests over real connections: TLS, plaintext, and large headers. */
class RealTransportTest {
  private static final TokenRequest ALICE = TokenRequest.of("pool", "provider", "alice");
  private static final Message TOKEN =
      GetOpenIdTokenForDeveloperIdentityResponse.newBuilder()
          .setIdentityId("pool:1")
          .setExpireTime(Timestamp.newBuilder().setSeconds(900))
          .build();

  /** The server's key and certificate. */
  private static KeyStore keys;

  private final ScriptedService service = new ScriptedService();
  private final List<String> authorizations = new CopyOnWriteArrayList<>();
  private final List<Server> servers = new ArrayList<>();

  private int serve(ServerCredentials credentials) throws Exception {
    Server server =
        ScriptedServer.with(Grpc.newServerBuilderForPort(0, credentials), service, new HealthStatusManager())
            .intercept(new AuthorizationRecorder())
            .build()
            .start();
    servers.add(server);
    return server.getPort();
  }

  @AfterEach
  void stop() throws InterruptedException {
    for (Server server : servers) {
      server.shutdownNow().awaitTermination();
    }
  }

  private final class AuthorizationRecorder implements ServerInterceptor {
    @Override
    public <Q, R> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
      String authorization = headers.get(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER));
      if (authorization != null) {
        authorizations.add(authorization);
      }
      return new ForwardingServerCallListener.SimpleForwardingServerCallListener<>(next.startCall(call, headers)) {};
    }
  }

  private static ClientBuilder client(String target) {
    return Client.builder(target).deadline(ScriptedServer.TIMEOUT);
  }

  @BeforeAll
  static void makeKeys(@TempDir Path directory) throws Exception {
    Path file = directory.resolve("keys.p12");
    String keytool = Path.of(System.getProperty("java.home"), "bin", "keytool").toString();
    Process process =
        new ProcessBuilder(
                keytool, "-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC", // half the CPU time, as in the build
                "-genkeypair", "-alias", "tls", "-keyalg", "EC", "-dname", "CN=localhost",
                "-ext", "SAN=DNS:localhost", "-storepass", "password", "-keystore", file.toString())
            .redirectErrorStream(true)
            .redirectOutput(directory.resolve("keytool.log").toFile())
            .start();
    assertThat(process.waitFor()).isZero();
    keys = KeyStore.getInstance("PKCS12");
    try (InputStream in = Files.newInputStream(file)) {
      keys.load(in, "password".toCharArray());
    }
  }

  private static ServerCredentials serverTls() throws Exception {
    KeyManagerFactory managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    managers.init(keys, "password".toCharArray());
    return TlsServerCredentials.newBuilder().keyManager(managers.getKeyManagers()).build();
  }

  private static TlsChannelCredentials.Builder trustingTheServer() throws Exception {
    KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
    trusted.load(null, null);
    trusted.setCertificateEntry("server", keys.getCertificate("tls"));
    TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    managers.init(trusted);
    return TlsChannelCredentials.newBuilder().trustManager(managers.getTrustManagers());
  }

  @Test
  void tlsTrustsConfiguredAuthority() throws Exception {
    String target = "localhost:" + serve(serverTls());
    service.then(TOKEN);

    try (Client client = client(target).channelCredentials(trustingTheServer().build()).build();
        Client stranger = client(target).build();
        Client careless = client(target).plaintext().build()) {
      assertThat(client.getOpenIdTokenForDeveloperIdentity(ALICE).identityId()).isEqualTo("pool:1");
      for (Client refused : List.of(stranger, careless)) {
        assertThatExceptionOfType(TokendException.class)
            .isThrownBy(() -> refused.getOpenIdTokenForDeveloperIdentity(ALICE))
            .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.UNAVAILABLE));
      }
      assertThatExceptionOfType(TokendException.class)
          .isThrownBy(() -> stranger.getOpenIdTokenForDeveloperIdentity(ALICE))
          .withMessageContaining("unable to find valid certification path");
    }
    assertThat(service.requests).hasSize(1);
  }

  @Test
  void tokensAreSentOnlyOverTls() throws Exception {
    String target = "localhost:" + serve(InsecureServerCredentials.create());
    service.then(LookupDeveloperIdentityResponse.getDefaultInstance());
    service.then(LookupDeveloperIdentityResponse.getDefaultInstance());
    FakeCalls calls = new FakeCalls();
    CachedTokenSource source = new CachedTokenSource(FakeCalls.USER, calls, new ManualClock().policy(), new Refreshes(Telemetry.NONE));
    source.tokenAsync();
    calls.last().complete(FakeCalls.token("jwt", ManualClock.START, Duration.ofMinutes(15)));
    TokendCallCredentials credentials = new TokendCallCredentials(source);

    ManagedChannel channel = Grpc.newChannelBuilder(target, InsecureChannelCredentials.create()).build();
    try {
      var stub = DeveloperIdentityServiceGrpc.newBlockingStub(channel);
      LookupDeveloperIdentityRequest request = LookupDeveloperIdentityRequest.getDefaultInstance();
      TokendClientInterceptor interceptor = new TokendClientInterceptor(source);
      for (var strict : List.of(stub.withCallCredentials(credentials), stub.withInterceptors(interceptor))) {
        assertThatExceptionOfType(StatusRuntimeException.class)
            .isThrownBy(() -> strict.lookupDeveloperIdentity(request))
            .satisfies(e -> assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.UNAUTHENTICATED));
      }
      assertThat(authorizations).isEmpty();
      stub.withCallCredentials(credentials.allowingPlaintext()).lookupDeveloperIdentity(request);
      stub.withInterceptors(interceptor.allowingPlaintext()).lookupDeveloperIdentity(request);
      assertThat(authorizations).containsExactly("Bearer jwt", "Bearer jwt");
    } finally {
      channel.shutdownNow();
    }
  }

  @Test
  void eachCallSendsCurrentTokenOfFile(@TempDir Path directory) throws Exception {
    String target = "localhost:" + serve(serverTls());
    Path file = directory.resolve("token");
    service.then(TOKEN);
    service.then(TOKEN);

    try (Client client =
        client(target).channelCredentials(trustingTheServer().build()).bearerTokenFile(file).build()) {
      assertThatExceptionOfType(TokendException.class)
          .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentity(ALICE))
          .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.UNAUTHENTICATED))
          .withMessageContaining(file.toString());
      assertThat(authorizations).isEmpty();
      for (String token : List.of("first", "second")) {
        Files.writeString(file, token + "\n");
        client.getOpenIdTokenForDeveloperIdentity(ALICE);
      }
    }
    assertThat(authorizations).containsExactly("Bearer first", "Bearer second");
  }

  @Test
  void manyViolationsFitIntoHeaders() throws Exception {
    String target = "localhost:" + serve(InsecureServerCredentials.create());
    BadRequest.Builder bad = BadRequest.newBuilder();
    for (int i = 0; i < 100; i++) {
      bad.addFieldViolationsBuilder().setField("principal_tags.value").setDescription("x".repeat(100));
    }
    service.then(ScriptedService.failure(Code.INVALID_ARGUMENT, "y".repeat(10_000), bad.build()));

    try (Client client = client(target).plaintext().build()) {
      assertThatExceptionOfType(TokendException.class)
          .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentity(ALICE))
          .satisfies(e -> assertThat(e.violations()).hasSize(100));
    }
  }

  @Test
  void callWithRetryPushbackIsNotRetried() throws Exception {
    String target = "localhost:" + serve(InsecureServerCredentials.create());
    StatusRuntimeException throttled = ScriptedService.failure(Code.RESOURCE_EXHAUSTED, "busy");
    Metadata.Key<String> pushback = Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);
    Optional.ofNullable(throttled.getTrailers()).orElseThrow().put(pushback, "1");
    service.then(throttled);

    try (Client client = client(target).plaintext().build()) {
      assertThatExceptionOfType(TokendException.class)
          .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentity(ALICE))
          .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED));
    }
    assertThat(service.requests).hasSize(1);
  }
}

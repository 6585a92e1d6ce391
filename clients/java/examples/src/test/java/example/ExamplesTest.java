package example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import com.sun.net.httpserver.HttpServer;
import io.grpc.ManagedChannelBuilder;
import io.grpc.ServerBuilder;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.auth.credentials.AwsCredentials;
import tokend.client.CachedTokenSource;
import tokend.client.Client;
import tokend.client.ErrorReason;
import tokend.client.TokenCache;
import tokend.client.TokenRequest;
import tokend.client.testing.Failure;
import tokend.client.testing.FakeTokendServer;
import tokend.v1.DeveloperIdentityServiceGrpc;

/** Runs the examples. */
class ExamplesTest {
  private static final TokenRequest ALICE =
      TokenRequest.of(FakeTokendServer.IDENTITY_POOL_ID, FakeTokendServer.DEVELOPER_PROVIDER_NAME, "alice");

  private final FakeTokendServer server = FakeTokendServer.start();
  private final Client client = server.client();

  @AfterEach
  void stop() {
    server.close();
  }

  @Test
  void sourcesAndCachesReturnTokens() {
    assertThat(Fresh.one(client)).contains(".");
    assertThat(Fresh.many(client, "alice")).isNotEqualTo(Fresh.many(client, "bob"));
    try (TokenCache cache = Fresh.tuned(client)) {
      assertThat(cache.token(ALICE)).isSameAs(cache.token(ALICE));
    }
  }

  @Test
  void errorsAreDistinguished() {
    assertThat(Errors.outcome(client, ALICE)).startsWith("local:");
    server.failNext(Failure.of(ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED));
    assertThat(Errors.outcome(client, ALICE)).isEqualTo("the user has another identity");
    server.failNext(Failure.of(ErrorReason.TOO_MANY_REQUESTS).withRetryDelay(Duration.ofSeconds(2)));
    assertThat(Errors.outcome(client, ALICE)).isEqualTo("later: PT2S");
  }

  @Test
  void stubsAcceptCallCredentials() {
    var channel = ManagedChannelBuilder.forTarget("localhost:1").build();
    try (CachedTokenSource source = client.tokenSource(ALICE)) {
      var stub = Calls.withToken(DeveloperIdentityServiceGrpc.newBlockingStub(channel), source);
      assertThat(stub.getCallOptions().getCredentials()).isNotNull();
      assertThat(Calls.toSidecar(source)).isNotNull();
    } finally {
      channel.shutdownNow();
    }
  }

  @Test
  void plaintextRequestIsRejected() throws Exception {
    try (CachedTokenSource source = client.tokenSource(ALICE)) {
      HttpRequest plaintext = HttpRequest.newBuilder(URI.create("http://127.0.0.1:1/")).build();
      assertThatIllegalArgumentException()
          .isThrownBy(() -> Requests.send(HttpClient.newHttpClient(), source, plaintext));
    }
  }

  @Test
  void grpcServerIsBuiltAndHasNoIdentityOutsideCalls() {
    assertThat(Verified.guarded(ServerBuilder.forPort(0)).build().getServices()).isEmpty();
    assertThatIllegalStateException().isThrownBy(Verified::whoCalls);
  }

  @Test
  void filterIsCreated() {
    assertThat(Verified.filter()).isNotNull();
  }

  @Test
  void stsReturnsCredentialsForToken() throws Exception {
    CompletableFuture<String> asked = new CompletableFuture<>();
    HttpServer sts = fakeSts(asked);
    System.setProperty("aws.region", "us-east-1");
    System.setProperty("aws.endpointUrlSts", "http://127.0.0.1:" + sts.getAddress().getPort());
    try (CachedTokenSource source = client.tokenSource(ALICE)) {
      AwsCredentials credentials = Aws.credentials(source).resolveCredentials();

      assertThat(credentials.accessKeyId()).isEqualTo("ASIAEXAMPLE");
      assertThat(asked.join())
          .contains("Action=AssumeRoleWithWebIdentity", "WebIdentityToken=" + source.token().value());
    } finally {
      System.clearProperty("aws.region");
      System.clearProperty("aws.endpointUrlSts");
      sts.stop(0);
    }
  }

  private static HttpServer fakeSts(CompletableFuture<String> asked) throws Exception {
    HttpServer sts = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    sts.createContext(
        "/",
        exchange -> {
          asked.complete(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
          byte[] answer =
              ("<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
                      + "<AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
                      + "<SessionToken>session</SessionToken><Expiration>"
                      + Instant.now().plus(Duration.ofHours(1))
                      + "</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
                      + "</AssumeRoleWithWebIdentityResponse>")
                  .getBytes(StandardCharsets.UTF_8);
          exchange.sendResponseHeaders(200, answer.length);
          exchange.getResponseBody().write(answer);
          exchange.close();
        });
    sts.start();
    return sts;
  }
}

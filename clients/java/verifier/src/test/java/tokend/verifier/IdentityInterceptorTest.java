package tokend.verifier;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tokend.client.Token;
import tokend.client.TokenRequest;
import tokend.client.testing.FakeTokendServer;
import tokend.v1.DeveloperIdentityServiceGrpc;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;

class IdentityInterceptorTest {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final FakeTokendServer tokend = FakeTokendServer.start();
  private final Pages pages = new Pages(Map.of("/keys", tokend::jwks));
  private Server server;
  private ManagedChannel channel;

  /** A service that responds with the identity of its caller. */
  private static final class Echo extends DeveloperIdentityServiceGrpc.DeveloperIdentityServiceImplBase {
    @Override
    public void lookupDeveloperIdentity(
        LookupDeveloperIdentityRequest request, StreamObserver<LookupDeveloperIdentityResponse> observer) {
      observer.onNext(
          LookupDeveloperIdentityResponse.newBuilder()
              .setIdentityId(IdentityInterceptor.current().identityId())
              .build());
      observer.onCompleted();
    }
  }

  @BeforeEach
  void start() throws Exception {
    String name = UUID.randomUUID().toString();
    TokenVerifier verifier =
        TokenVerifier.builder(FakeTokendServer.ISSUER, FakeTokendServer.IDENTITY_POOL_ID)
            .keysAt(pages.at("/keys"))
            .build();
    server =
        InProcessServerBuilder.forName(name)
            .addService(new Echo())
            .addService(new HealthStatusManager().getHealthService())
            .intercept(new IdentityInterceptor(verifier))
            .build()
            .start();
    channel = InProcessChannelBuilder.forName(name).build();
  }

  @AfterEach
  void stop() throws InterruptedException {
    channel.shutdownNow();
    server.shutdownNow().awaitTermination();
    tokend.close();
    pages.close();
  }

  private Token issue() {
    return tokend
        .client()
        .getOpenIdTokenForDeveloperIdentity(
            TokenRequest.of(FakeTokendServer.IDENTITY_POOL_ID, FakeTokendServer.DEVELOPER_PROVIDER_NAME, "alice"));
  }

  private String call(List<String> authorizations) {
    Metadata headers = new Metadata();
    authorizations.forEach(value -> headers.put(AUTHORIZATION, value));
    return DeveloperIdentityServiceGrpc.newBlockingStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
        .lookupDeveloperIdentity(LookupDeveloperIdentityRequest.getDefaultInstance())
        .getIdentityId();
  }

  private void assertFails(Status.Code code, List<String> authorizations) {
    assertThatExceptionOfType(StatusRuntimeException.class)
        .isThrownBy(() -> call(authorizations))
        .satisfies(e -> assertThat(e.getStatus().getCode()).isEqualTo(code))
        .satisfies(e -> assertThat(e.getStatus().getDescription()).startsWith("a valid token").doesNotContain("iss"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"Bearer ", "bearer "})
  void callWithValidTokenHasIdentityInContext(String scheme) {
    Token token = issue();

    assertThat(call(List.of(scheme + token.value()))).isEqualTo(token.identityId());
  }

  @Test
  void callWithoutValidTokenIsUnauthenticated() {
    String token = issue().value();

    assertFails(Status.Code.UNAUTHENTICATED, List.of());
    assertFails(Status.Code.UNAUTHENTICATED, List.of("Basic " + token));
    assertFails(Status.Code.UNAUTHENTICATED, List.of("Bearer x" + token));
    assertFails(Status.Code.UNAUTHENTICATED, List.of("Bearer " + token, "Bearer " + token));
  }

  @Test
  void healthChecksRequireNoToken() {
    HealthCheckResponse health =
        HealthGrpc.newBlockingStub(channel).check(HealthCheckRequest.getDefaultInstance());

    assertThat(health.getStatus()).isEqualTo(HealthCheckResponse.ServingStatus.SERVING);
  }

  @Test
  void withoutKeysCallsAreUnavailable() {
    String token = issue().value();
    pages.close();

    assertThatExceptionOfType(StatusRuntimeException.class)
        .isThrownBy(() -> call(List.of("Bearer " + token)))
        .satisfies(e -> assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE));
  }

  @Test
  void thereIsNoIdentityOutsideCalls() {
    assertThatIllegalStateException().isThrownBy(IdentityInterceptor::current);
  }
}

package tokend.client.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import tokend.client.Client;
import tokend.client.ErrorReason;
import tokend.client.Token;
import tokend.client.TokenRequest;
import tokend.client.TokendException;

/** Base class of tests of the fake server: the server and its client. */
abstract class ClientOfFakeServer {
  static final String POOL = FakeTokendServer.IDENTITY_POOL_ID;
  static final String PROVIDER = FakeTokendServer.DEVELOPER_PROVIDER_NAME;
  static final Duration TIMEOUT = Duration.ofMinutes(1);
  static final Instant NOW = Instant.parse("2026-11-22T12:00:00Z");

  final FakeTokendServer server = FakeTokendServer.start(InstantSource.fixed(NOW));
  final Client client = server.client();

  @AfterEach
  void stop() {
    server.close();
  }

  static TokenRequest request(String user) {
    return TokenRequest.of(POOL, PROVIDER, user);
  }

  Token token(String user) {
    return client.getOpenIdTokenForDeveloperIdentity(request(user));
  }

  Token link(String user, String identityId) {
    return client.getOpenIdTokenForDeveloperIdentity(
        TokenRequest.builder(POOL).login(PROVIDER, user).identityId(identityId).build());
  }

  static void assertRefused(ErrorReason reason, Status.Code code, ThrowingCallable call) {
    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(call)
        .satisfies(e -> assertThat(e.reason()).contains(reason))
        .satisfies(e -> assertThat(e.code()).isEqualTo(code));
  }
}

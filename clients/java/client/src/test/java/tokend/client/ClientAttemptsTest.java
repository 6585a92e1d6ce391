package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static tokend.client.ScriptedService.failure;

import com.google.rpc.Code;
import io.grpc.ConnectivityState;
import io.grpc.Status;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import tokend.v1.DeveloperIdentityServiceGrpc;

/** Calls are retried, and sent to servers that serve. */
class ClientAttemptsTest extends ClientOfScriptedServer {
  @ParameterizedTest
  @EnumSource(
      value = Code.class,
      names = {"UNAVAILABLE", "CANCELLED"})
  void transientFailuresAreRetried(Code code) {
    server.service.then(failure(code, "draining"));
    server.service.then(failure(code, "draining"));
    server.service.then(RESPONSE);

    assertThat(client.getOpenIdTokenForDeveloperIdentity(ALICE)).isEqualTo(TOKEN);
    assertThat(server.service.requests).hasSize(3);
  }

  @ParameterizedTest
  @EnumSource(
      value = Code.class,
      names = {"INTERNAL", "RESOURCE_EXHAUSTED", "NOT_FOUND", "DEADLINE_EXCEEDED"})
  void permanentFailuresAreNotRetried(Code code) {
    server.service.then(failure(code, "no"));

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentity(ALICE))
        .satisfies(e -> assertThat(e.code().value()).isEqualTo(code.getNumber()));
    assertThat(server.service.requests).hasSize(1);
  }

  @Test
  void notServingServerGetsNoCalls() {
    server.health.setStatus(DeveloperIdentityServiceGrpc.SERVICE_NAME, ServingStatus.NOT_SERVING);

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentity(ALICE))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.UNAVAILABLE));
    assertThat(server.service.requests).isEmpty();
    assertThat(client.connectivity()).isEqualTo(ConnectivityState.TRANSIENT_FAILURE);
  }

  @Test
  void connectivityIsReportedWithoutCalls() {
    assertThat(client.connectivity()).isEqualTo(ConnectivityState.IDLE);
    while (client.connectivity() != ConnectivityState.READY) {
      Thread.onSpinWait();
    }

    assertThat(server.service.requests).isEmpty();
    client.close();
    // A gRPC thread that works on the channel does this later.
    while (client.connectivity() != ConnectivityState.SHUTDOWN) {
      Thread.onSpinWait();
    }
  }

  @Test
  void attemptWithoutResponseIsRepeatedOnce() throws Exception {
    server.service.hold();
    // The first attempt ends after half of the time; the other half is enough for a busy machine.
    CompletableFuture<Token> token =
        client.withDeadline(Duration.ofSeconds(8)).getOpenIdTokenForDeveloperIdentityAsync(ALICE);
    server.service.held.take();

    server.service.held.take().answer(RESPONSE);

    assertThat(token.get()).isEqualTo(TOKEN);
    assertThat(server.service.requests).hasSize(2);
    assertThat(server.service.requests.get(1)).isEqualTo(server.service.requests.get(0));
  }
}

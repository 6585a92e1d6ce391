package tokend.client.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.grpc.Context;
import io.grpc.Status;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import tokend.client.ErrorReason;
import tokend.client.Token;
import tokend.client.TokendException;

/** Failures and pauses of the fake server. */
class FakeFailuresTest extends ClientOfFakeServer {
  @ParameterizedTest
  @EnumSource(ErrorReason.class)
  void failureMayHaveAnyReason(ErrorReason reason) {
    server.failNext(Failure.of(reason).withRetryDelay(Duration.ofMillis(1500)));
    server.fail(Failure.of(reason).withRetryDelay(Duration.ofMillis(1500)));

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> token("alice"))
        .satisfies(e -> assertThat(e.reason()).contains(reason))
        .satisfies(e -> assertThat(e.retryDelay()).contains(Duration.ofMillis(1500)));
  }

  @Test
  void failuresEndAfterNextCallOrRecover() {
    server.failNext(Failure.of(Status.Code.ABORTED));
    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> token("alice"))
        .satisfies(e -> assertThat(e.reason()).isEmpty());
    token("alice");
    server.fail(Failure.of(ErrorReason.NOT_AUTHORIZED));
    assertThatExceptionOfType(TokendException.class).isThrownBy(() -> token("alice"));
    assertThatExceptionOfType(TokendException.class).isThrownBy(() -> token("alice"));
    server.recover();
    token("alice");

    assertThat(server.calls("GetOpenIdTokenForDeveloperIdentity")).isEqualTo(5);
    assertThat(server.calls("LookupDeveloperIdentity")).isZero();
  }

  @Test
  void hangingCallEndsAtDeadline() {
    server.failNext(Failure.hanging());
    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(
            () -> client.withDeadline(Duration.ofMillis(100)).getOpenIdTokenForDeveloperIdentity(request("alice")))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED));
    token("alice");
  }

  @Test
  void callsWaitWhilePaused() throws Exception {
    server.pause();
    CompletableFuture<Token> waiting = client.getOpenIdTokenForDeveloperIdentityAsync(request("alice"));
    server.waitForCalls("GetOpenIdTokenForDeveloperIdentity", 1, TIMEOUT);
    assertThat(waiting).isNotDone();
    server.resume();
    assertThat(waiting.get(TIMEOUT.toSeconds(), TimeUnit.SECONDS).identityId()).isEqualTo(token("alice").identityId());
  }

  @Test
  void cancelledCallDoesNotConsumeFailure() throws Exception {
    FakeFailures failures = new FakeFailures();
    Failure once = Failure.of(ErrorReason.NOT_AUTHORIZED);
    failures.pause();
    try (Context.CancellableContext caller = Context.current().withCancellation()) {
      CompletableFuture<Optional<Failure>> gone =
          CompletableFuture.supplyAsync(
              () -> {
                Context previous = caller.attach();
                try {
                  return Optional.ofNullable(failures.count("LookupDeveloperIdentity"));
                } finally {
                  caller.detach(previous);
                }
              });
      failures.waitForCalls("LookupDeveloperIdentity", 1, TIMEOUT);
      caller.cancel(null);
      failures.failNext(once);
      failures.resume();

      assertThat(gone.get(TIMEOUT.toSeconds(), TimeUnit.SECONDS)).contains(Failure.of(Status.Code.CANCELLED));
    }
    assertThat(failures.count("LookupDeveloperIdentity")).isEqualTo(once);
  }

  @Test
  void waitForCallsFailsAfterTimeout() {
    assertThatExceptionOfType(AssertionError.class)
        .isThrownBy(() -> server.waitForCalls("LookupDeveloperIdentity", 1, Duration.ofMillis(1)))
        .withMessageContaining("0 of 1 calls of LookupDeveloperIdentity");
  }
}

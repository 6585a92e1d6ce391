package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.google.rpc.Code;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Deadline;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Deadlines and cancellation of calls. */
class ClientDeadlinesTest extends ClientOfScriptedServer {
  @Test
  void everyCallHasDeadline() {
    List<Deadline> deadlines = new ArrayList<>();
    ClientInterceptor recorder =
        new ClientInterceptor() {
          @Override
          public <Q, R> ClientCall<Q, R> interceptCall(
              MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
            deadlines.add(Optional.ofNullable(options.getDeadline()).orElseThrow());
            return next.newCall(method, options);
          }
        };
    server.service.hold();
    try (Client watched = server.clientWithDefaults().intercept(recorder).build()) {
      watched.getOpenIdTokenForDeveloperIdentityAsync(ALICE);
      watched.withDeadline(Duration.ofSeconds(1)).getOpenIdTokenForDeveloperIdentityAsync(ALICE);
    }

    assertThat(deadlines).hasSize(2);
    assertThat(deadlines.get(0).timeRemaining(TimeUnit.SECONDS)).isLessThanOrEqualTo(3);
    assertThat(deadlines.get(1).timeRemaining(TimeUnit.SECONDS)).isLessThanOrEqualTo(1);
  }

  @Test
  void builderSetsLongerDeadline() {
    server.service.then(RESPONSE);
    Client patient = server.client().deadline(Duration.ofHours(1)).build();
    patient.getOpenIdTokenForDeveloperIdentity(ALICE);
    patient.close();

    // The first attempt has half an hour, minus the elapsed time.
    assertThat(server.service.deadlines.get(0).timeRemaining(TimeUnit.MINUTES)).isGreaterThan(20);
  }

  @Test
  void callWithoutResponseEndsAtItsDeadline() {
    server.service.hold();

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.withDeadline(Duration.ofMillis(50)).getOpenIdTokenForDeveloperIdentity(ALICE))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED))
        .satisfies(e -> assertThat(e.reason()).isEmpty());
  }

  @Test
  void cancellingFutureCancelsCall() throws Exception {
    server.service.hold();
    CompletableFuture<Token> token = client.getOpenIdTokenForDeveloperIdentityAsync(ALICE);
    server.service.held.take();

    token.cancel(true);

    assertThat(server.service.cancelled.get()).isTrue();
  }

  @Test
  void interruptingCallerCancelsCall() throws Exception {
    server.service.hold();
    CompletableFuture<Throwable> thrown = new CompletableFuture<>();
    Thread caller =
        new Thread(
            () -> {
              try {
                client.getOpenIdTokenForDeveloperIdentity(ALICE);
              } catch (TokendException e) {
                thrown.complete(e);
              }
            });
    caller.start();
    server.service.held.take();

    caller.interrupt();

    assertThat(((TokendException) thrown.get()).code()).isEqualTo(Status.Code.CANCELLED);
    assertThat(server.service.cancelled.get()).isTrue();
  }
}

package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import tokend.v1.DeveloperIdentityServiceGrpc;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;

class SecondAttemptTest {
  private static final LookupDeveloperIdentityRequest REQUEST =
      LookupDeveloperIdentityRequest.newBuilder().setIdentityPoolId("pool").build();

  private final Ticker ticker = new Ticker();
  private final Attempts attempts = new Attempts();
  private final Outcome outcome = new Outcome();

  private static final class Ticker extends Deadline.Ticker {
    long nanoTime;

    @Override
    public long nanoTime() {
      return nanoTime;
    }
  }

  /** An attempt that only records calls of its methods. */
  private static final class Attempt<Q, R> extends ClientCall<Q, R> {
    final CallOptions options;
    final List<Object> got = new ArrayList<>();
    @Nullable Listener<R> listener;

    Attempt(CallOptions options) {
      this.options = options;
    }

    @Override
    public void start(Listener<R> responseListener, Metadata headers) {
      listener = responseListener;
      got.add("headers " + headers.keys());
    }

    @Override
    public void request(int count) {
      got.add("request " + count);
    }

    @Override
    public void cancel(@Nullable String message, @Nullable Throwable cause) {
      got.add("cancel");
    }

    @Override
    public void halfClose() {
      got.add("half close");
    }

    @Override
    public void sendMessage(Q message) {
      got.add(message);
    }

    void close(Status status) {
      Listener<R> responseListener = listener;
      if (responseListener != null) {
        responseListener.onClose(status, new Metadata());
      }
    }
  }

  private static final class Attempts extends Channel {
    final List<Attempt<?, ?>> made = new ArrayList<>();

    @Override
    public <Q, R> ClientCall<Q, R> newCall(MethodDescriptor<Q, R> method, CallOptions options) {
      Attempt<Q, R> attempt = new Attempt<>(options);
      made.add(attempt);
      return attempt;
    }

    @Override
    public String authority() {
      return "test";
    }

    Attempt<?, ?> last() {
      return made.get(made.size() - 1);
    }
  }

  private static final class Outcome extends ClientCall.Listener<Object> {
    final List<Status.Code> closed = new ArrayList<>();

    @Override
    public void onClose(Status status, Metadata trailers) {
      closed.add(status.getCode());
    }
  }

  private <Q, R> ClientCall<Q, R> call(MethodDescriptor<Q, R> method, CallOptions options, Duration most) {
    return new SecondAttempt(most, ticker).interceptCall(method, options, attempts);
  }

  private ClientCall<LookupDeveloperIdentityRequest, LookupDeveloperIdentityResponse> lookup(Duration most) {
    return call(DeveloperIdentityServiceGrpc.getLookupDeveloperIdentityMethod(), CallOptions.DEFAULT, most);
  }

  @SuppressWarnings("unchecked")
  private <Q, R> void start(ClientCall<Q, R> call, Q request) {
    Metadata headers = new Metadata();
    headers.put(Metadata.Key.of("trace", Metadata.ASCII_STRING_MARSHALLER), "1");
    call.start((ClientCall.Listener<R>) outcome, headers);
    call.request(2);
    call.sendMessage(request);
    call.halfClose();
  }

  private void pass(Duration time) {
    ticker.nanoTime += time.toNanos();
  }

  private static long millisLeft(Attempt<?, ?> attempt) {
    Deadline deadline = attempt.options.getDeadline();
    return deadline == null ? -1 : deadline.timeRemaining(TimeUnit.MILLISECONDS);
  }

  @ParameterizedTest
  @CsvSource({"3000,1500", "1500,1000", "10000,5000", "2000,1000"})
  void firstAttemptHasHalfOfTimeAndSecondTheRest(long most, long first) {
    start(lookup(Duration.ofMillis(most)), REQUEST);
    assertThat(millisLeft(attempts.last())).isEqualTo(first);

    pass(Duration.ofMillis(first));
    attempts.last().close(Status.DEADLINE_EXCEEDED);

    assertThat(outcome.closed).isEmpty();
    assertThat(attempts.made).hasSize(2);
    assertThat(millisLeft(attempts.last())).isEqualTo(most - first);
    assertThat(attempts.last().got).isEqualTo(attempts.made.get(0).got).contains(REQUEST, "headers [trace]");
    attempts.last().close(Status.OK);
    assertThat(outcome.closed).containsExactly(Status.Code.OK);
  }

  @Test
  void secondAttemptIsTheLast() {
    start(lookup(Duration.ofSeconds(3)), REQUEST);
    pass(Duration.ofMillis(1500));
    attempts.last().close(Status.DEADLINE_EXCEEDED);
    pass(Duration.ofMillis(1500));
    attempts.last().close(Status.DEADLINE_EXCEEDED);

    assertThat(outcome.closed).containsExactly(Status.Code.DEADLINE_EXCEEDED);
    assertThat(attempts.made).hasSize(2);
  }

  @Test
  void deadlineOfCallerApplies() {
    CallOptions options = CallOptions.DEFAULT.withDeadline(Deadline.after(2500, TimeUnit.MILLISECONDS, ticker));
    start(call(DeveloperIdentityServiceGrpc.getLookupDeveloperIdentityMethod(), options, Duration.ofSeconds(9)), REQUEST);

    assertThat(millisLeft(attempts.last())).isEqualTo(1250);
  }

  @ParameterizedTest
  @EnumSource(
      value = Status.Code.class,
      names = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "OK"})
  void resultBeforeDeadlineOfAttemptIsFinal(Status.Code code) {
    start(lookup(Duration.ofSeconds(3)), REQUEST);
    attempts.last().close(Status.fromCode(code));

    assertThat(outcome.closed).containsExactly(code);
    assertThat(attempts.made).hasSize(1);
  }

  @Test
  void attemptWithResponseHeadersIsNotRepeated() {
    start(lookup(Duration.ofSeconds(3)), REQUEST);
    Attempt<?, ?> first = attempts.last();
    ClientCall.Listener<?> listener = first.listener;
    if (listener != null) {
      listener.onHeaders(new Metadata());
    }
    pass(Duration.ofMillis(1500));
    first.close(Status.DEADLINE_EXCEEDED);

    assertThat(outcome.closed).containsExactly(Status.Code.DEADLINE_EXCEEDED);
    assertThat(attempts.made).hasSize(1);
  }

  @Test
  void cancelledCallIsNotRetried() {
    var call = lookup(Duration.ofSeconds(3));
    start(call, REQUEST);
    call.cancel("enough", null);
    pass(Duration.ofMillis(1500));
    attempts.last().close(Status.DEADLINE_EXCEEDED);

    assertThat(attempts.made).hasSize(1);
    assertThat(attempts.last().got).contains("cancel");
  }

  @Test
  void shortCallAndUnlinkHaveOneAttempt() {
    lookup(Duration.ofSeconds(1));
    call(
        DeveloperIdentityServiceGrpc.getUnlinkDeveloperIdentityMethod(), CallOptions.DEFAULT, Duration.ofSeconds(3));

    assertThat(attempts.made).allMatch(attempt -> attempt.options.getDeadline() == null);
  }
}

package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.google.rpc.Code;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.ClientCalls;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import tokend.v1.DeveloperIdentityServiceGrpc;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;

class TokendClientInterceptorTest {
  private static final LookupDeveloperIdentityRequest REQUEST =
      LookupDeveloperIdentityRequest.newBuilder().setIdentityPoolId("pool").build();

  private final Tokens tokens = new Tokens();
  private final ScriptedService service = new ScriptedService();
  private final List<String> authorizations = new CopyOnWriteArrayList<>();
  private Server server;
  private ManagedChannel channel;

  /** A source that returns the tokens of the test. */
  private static final class Tokens implements TokenSource {
    final Queue<CompletableFuture<Token>> next = new ArrayDeque<>();
    final List<String> invalidated = new ArrayList<>();

    void give(String token) {
      next.add(CompletableFuture.completedFuture(FakeCalls.token(token, ManualClock.START, Duration.ofMinutes(15))));
    }

    @Override
    public Token token() {
      return next.remove().join();
    }

    @Override
    public Token token(Duration timeout) {
      return token();
    }

    @Override
    public CompletableFuture<Token> tokenAsync() {
      return next.remove();
    }

    @Override
    public void invalidate(Token rejected) {
      invalidated.add(rejected.value());
    }
  }

  /** Responds to tokens that begin with "bad" with UNAUTHENTICATED, after headers if they end with "late". */
  private final class Guard implements ServerInterceptor {
    @Override
    public <Q, R> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
      String bearer =
          String.valueOf(headers.get(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER)));
      authorizations.add(bearer);
      if (bearer.startsWith("Bearer bad")) {
        if (bearer.endsWith("late")) {
          call.sendHeaders(new Metadata());
        }
        call.close(Status.UNAUTHENTICATED, new Metadata());
        return new ServerCall.Listener<>() {};
      }
      return next.startCall(call, headers);
    }
  }

  @BeforeEach
  void start() throws Exception {
    String name = UUID.randomUUID().toString();
    server = InProcessServerBuilder.forName(name).addService(service).intercept(new Guard()).build().start();
    channel =
        InProcessChannelBuilder.forName(name)
            .intercept(new TokendClientInterceptor(tokens).allowingPlaintext())
            .build();
  }

  @AfterEach
  void stop() throws InterruptedException {
    channel.shutdownNow();
    server.shutdownNow().awaitTermination();
  }

  private LookupDeveloperIdentityResponse call() {
    return DeveloperIdentityServiceGrpc.newBlockingStub(channel).lookupDeveloperIdentity(REQUEST);
  }

  private void assertFails(Status.Code code) {
    assertThatExceptionOfType(StatusRuntimeException.class)
        .isThrownBy(this::call)
        .satisfies(e -> assertThat(e.getStatus().getCode()).isEqualTo(code));
  }

  @Test
  void callSendsToken() {
    tokens.give("good");
    service.then(LookupDeveloperIdentityResponse.getDefaultInstance());

    call();

    assertThat(authorizations).containsExactly("Bearer good");
    assertThat(tokens.invalidated).isEmpty();
  }

  @Test
  void rejectedTokenIsReplacedAndCallRetried() {
    tokens.give("bad");
    tokens.give("good");
    service.then(LookupDeveloperIdentityResponse.newBuilder().setIdentityId("pool:1").build());

    assertThat(call().getIdentityId()).isEqualTo("pool:1");

    assertThat(authorizations).containsExactly("Bearer bad", "Bearer good");
    assertThat(tokens.invalidated).containsExactly("bad");
    assertThat(service.requests).containsExactly(REQUEST);
  }

  @Test
  void callIsRetriedOnce() {
    tokens.give("bad1");
    tokens.give("bad2");
    tokens.give("good");

    assertFails(Status.Code.UNAUTHENTICATED);

    assertThat(authorizations).containsExactly("Bearer bad1", "Bearer bad2");
    assertThat(tokens.invalidated).containsExactly("bad1");
  }

  @ParameterizedTest
  @EnumSource(names = {"CLIENT_STREAMING", "BIDI_STREAMING"})
  void streamIsNotRetriedButItsTokenIsInvalidated(MethodType type) {
    tokens.give("bad");
    var method = DeveloperIdentityServiceGrpc.getLookupDeveloperIdentityMethod().toBuilder().setType(type).build();

    assertThatExceptionOfType(StatusRuntimeException.class)
        .isThrownBy(() -> ClientCalls.blockingUnaryCall(channel, method, CallOptions.DEFAULT, REQUEST))
        .satisfies(e -> assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.UNAUTHENTICATED));
    assertThat(authorizations).containsExactly("Bearer bad");
    assertThat(tokens.invalidated).containsExactly("bad");
  }

  @Test
  void callWithResponseHeadersIsNotRetriedButItsTokenIsInvalidated() {
    tokens.give("bad, late");

    assertFails(Status.Code.UNAUTHENTICATED);

    assertThat(authorizations).containsExactly("Bearer bad, late");
    assertThat(tokens.invalidated).containsExactly("bad, late");
  }

  @Test
  void otherErrorsKeepToken() {
    tokens.give("good");
    service.then(ScriptedService.failure(Code.PERMISSION_DENIED, "no"));

    assertFails(Status.Code.PERMISSION_DENIED);

    assertThat(authorizations).hasSize(1);
    assertThat(tokens.invalidated).isEmpty();
  }

  @Test
  void withoutTokenCallFailsWithDownstreamCode() {
    tokens.next.add(
        CompletableFuture.failedFuture(TokendException.local(Status.Code.UNAUTHENTICATED, "not known", null)));

    assertFails(Status.Code.UNAUTHENTICATED);

    assertThat(authorizations).isEmpty();
    assertThat(tokens.invalidated).isEmpty();
  }

  @Test
  void deadlineOfCallerLimitsWaitForToken() {
    tokens.next.add(new CompletableFuture<>());
    var hasty =
        DeveloperIdentityServiceGrpc.newBlockingStub(channel)
            .withDeadlineAfter(50, java.util.concurrent.TimeUnit.MILLISECONDS);

    assertThatExceptionOfType(StatusRuntimeException.class)
        .isThrownBy(() -> hasty.lookupDeveloperIdentity(REQUEST))
        .satisfies(e -> assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.DEADLINE_EXCEEDED));
  }
}

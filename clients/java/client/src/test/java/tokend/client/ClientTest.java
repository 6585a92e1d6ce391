package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static tokend.client.ScriptedService.failure;

import com.google.protobuf.Timestamp;
import com.google.rpc.Code;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ConnectivityState;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import tokend.v1.DeveloperIdentityServiceGrpc;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityRequest;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityResponse;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;
import tokend.v1.MergeDeveloperIdentitiesRequest;
import tokend.v1.MergeDeveloperIdentitiesResponse;
import tokend.v1.UnlinkDeveloperIdentityRequest;
import tokend.v1.UnlinkDeveloperIdentityResponse;

class ClientTest {
  private static final TokenRequest ALICE = TokenRequest.of("pool", "provider", "alice");

  private static final CachingPolicy PATIENT =
      CachingPolicy.defaults().withRefreshTimeout(ScriptedServer.PATIENCE);

  private static final GetOpenIdTokenForDeveloperIdentityResponse ANSWER =
      GetOpenIdTokenForDeveloperIdentityResponse.newBuilder()
          .setIdentityId("pool:1")
          .setToken("jwt")
          .setIssueTime(Timestamp.newBuilder().setSeconds(7))
          .setExpireTime(Timestamp.newBuilder().setSeconds(900).setNanos(5_000_000))
          .setRefreshTime(Timestamp.newBuilder().setSeconds(450))
          .build();

  private static final Token TOKEN =
      new Token(
          "pool:1", "jwt", Instant.ofEpochSecond(7), Instant.ofEpochMilli(900_005), Instant.ofEpochSecond(450));

  private ScriptedServer server;
  private Client client;

  @BeforeEach
  void start() throws IOException {
    server = new ScriptedServer();
    client = server.client().build();
  }

  @AfterEach
  void stop() throws InterruptedException {
    client.close();
    server.stop();
  }

  @Test
  void getsATokenWithAllInputs() {
    server.service.then(ANSWER);
    TokenRequest request =
        TokenRequest.builder("pool")
            .identityId("pool:1")
            .login("provider", "alice")
            .login("accounts.google.com", "id-token")
            .principalTag("team", "red")
            .tokenDuration(Duration.ofSeconds(60, 7))
            .build();

    assertThat(client.getOpenIdTokenForDeveloperIdentity(request)).isEqualTo(TOKEN);

    GetOpenIdTokenForDeveloperIdentityRequest.Builder expected =
        GetOpenIdTokenForDeveloperIdentityRequest.newBuilder()
            .setIdentityPoolId("pool")
            .setIdentityId("pool:1")
            .putLogins("provider", "alice")
            .putLogins("accounts.google.com", "id-token")
            .putPrincipalTags("team", "red");
    expected.getTokenDurationBuilder().setSeconds(60).setNanos(7);
    assertThat(server.service.requests).containsExactly(expected.build());
  }

  @Test
  void sendsNoDurationThatIsNotGiven() {
    server.service.then(ANSWER);
    client.getOpenIdTokenForDeveloperIdentity(ALICE);

    GetOpenIdTokenForDeveloperIdentityRequest sent =
        (GetOpenIdTokenForDeveloperIdentityRequest) server.service.requests.get(0);
    assertThat(sent.hasTokenDuration()).isFalse();
  }

  @Test
  void looksUp() {
    server.service.then(
        LookupDeveloperIdentityResponse.newBuilder()
            .setIdentityId("pool:1")
            .addDeveloperUserIdentifierList("alice")
            .setNextToken("more")
            .build());

    LookupResult found = client.lookupDeveloperIdentity(new LookupRequest("pool", "pool:1", "alice", 7, "page"));

    assertThat(found).isEqualTo(new LookupResult("pool:1", List.of("alice"), "more"));
    assertThat(server.service.requests)
        .containsExactly(
            LookupDeveloperIdentityRequest.newBuilder()
                .setIdentityPoolId("pool")
                .setIdentityId("pool:1")
                .setDeveloperUserIdentifier("alice")
                .setMaxResults(7)
                .setNextToken("page")
                .build());
  }

  @Test
  void merges() {
    server.service.then(MergeDeveloperIdentitiesResponse.newBuilder().setIdentityId("pool:1").build());

    assertThat(client.mergeDeveloperIdentities(new MergeRequest("from", "to", "provider", "pool"))).isEqualTo("pool:1");

    assertThat(server.service.requests)
        .containsExactly(
            MergeDeveloperIdentitiesRequest.newBuilder()
                .setSourceUserIdentifier("from")
                .setDestinationUserIdentifier("to")
                .setDeveloperProviderName("provider")
                .setIdentityPoolId("pool")
                .build());
  }

  @Test
  void unlinks() {
    server.service.then(UnlinkDeveloperIdentityResponse.getDefaultInstance());

    client.unlinkDeveloperIdentity(new UnlinkRequest("pool:1", "pool", "provider", "alice"));

    assertThat(server.service.requests)
        .containsExactly(
            UnlinkDeveloperIdentityRequest.newBuilder()
                .setIdentityId("pool:1")
                .setIdentityPoolId("pool")
                .setDeveloperProviderName("provider")
                .setDeveloperUserIdentifier("alice")
                .build());
  }

  @Test
  void theFutureFormsDoTheSame() throws Exception {
    server.service.then(ANSWER);
    server.service.then(LookupDeveloperIdentityResponse.newBuilder().setIdentityId("pool:1").build());
    server.service.then(MergeDeveloperIdentitiesResponse.newBuilder().setIdentityId("pool:1").build());
    server.service.then(UnlinkDeveloperIdentityResponse.getDefaultInstance());

    assertThat(client.getOpenIdTokenForDeveloperIdentityAsync(ALICE).get()).isEqualTo(TOKEN);
    assertThat(client.lookupDeveloperIdentityAsync(LookupRequest.ofUser("pool", "alice")).get().identityId())
        .isEqualTo("pool:1");
    assertThat(client.mergeDeveloperIdentitiesAsync(new MergeRequest("a", "b", "provider", "pool")).get())
        .isEqualTo("pool:1");
    assertThat(client.unlinkDeveloperIdentityAsync(new UnlinkRequest("pool:1", "pool", "provider", "a")).get()).isNull();
    assertThat(server.service.requests).hasSize(4);
  }

  @Test
  void failuresAreTheSameInBothForms() {
    server.service.then(failure(Code.NOT_FOUND, "gone"));
    server.service.then(failure(Code.NOT_FOUND, "gone"));

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentity(ALICE))
        .withMessage("NOT_FOUND: gone");
    assertThatExceptionOfType(ExecutionException.class)
        .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentityAsync(ALICE).get())
        .havingCause()
        .isInstanceOf(TokendException.class)
        .withMessage("NOT_FOUND: gone");
  }

  @Test
  void everyCallHasADeadline() {
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
  void aLongerDeadlineIsTheBuilders() {
    server.service.then(ANSWER);
    Client patient = server.client().deadline(Duration.ofHours(1)).build();
    patient.getOpenIdTokenForDeveloperIdentity(ALICE);
    patient.close();

    // Of the first attempt: half an hour, less what has passed.
    assertThat(server.service.deadlines.get(0).timeRemaining(TimeUnit.MINUTES)).isGreaterThan(20);
  }

  @Test
  void aCallThatIsNotAnsweredEndsAtItsDeadline() {
    server.service.hold();

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.withDeadline(Duration.ofMillis(50)).getOpenIdTokenForDeveloperIdentity(ALICE))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED))
        .satisfies(e -> assertThat(e.reason()).isEmpty());
  }

  @Test
  void cancellingTheFutureEndsTheCall() throws Exception {
    server.service.hold();
    CompletableFuture<Token> token = client.getOpenIdTokenForDeveloperIdentityAsync(ALICE);
    server.service.held.take();

    token.cancel(true);

    assertThat(server.service.cancelled.get()).isTrue();
  }

  @Test
  void interruptingTheCallerEndsTheCall() throws Exception {
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

  @ParameterizedTest
  @EnumSource(
      value = Code.class,
      names = {"UNAVAILABLE", "CANCELLED"})
  void whatMayPassIsRetried(Code code) {
    server.service.then(failure(code, "draining"));
    server.service.then(failure(code, "draining"));
    server.service.then(ANSWER);

    assertThat(client.getOpenIdTokenForDeveloperIdentity(ALICE)).isEqualTo(TOKEN);
    assertThat(server.service.requests).hasSize(3);
  }

  @ParameterizedTest
  @EnumSource(
      value = Code.class,
      names = {"INTERNAL", "RESOURCE_EXHAUSTED", "NOT_FOUND", "DEADLINE_EXCEEDED"})
  void whatDoesNotPassIsNotRetried(Code code) {
    server.service.then(failure(code, "no"));

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentity(ALICE))
        .satisfies(e -> assertThat(e.code().value()).isEqualTo(code.getNumber()));
    assertThat(server.service.requests).hasSize(1);
  }

  @Test
  void aServerThatSaysItDoesNotServeGetsNoCalls() {
    server.health.setStatus(DeveloperIdentityServiceGrpc.SERVICE_NAME, ServingStatus.NOT_SERVING);

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentity(ALICE))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.UNAVAILABLE));
    assertThat(server.service.requests).isEmpty();
    assertThat(client.connectivity()).isEqualTo(ConnectivityState.TRANSIENT_FAILURE);
  }

  @Test
  void whetherTheServerIsHealthyIsKnownWithoutACall() {
    assertThat(client.connectivity()).isEqualTo(ConnectivityState.IDLE);
    while (client.connectivity() != ConnectivityState.READY) {
      Thread.onSpinWait();
    }

    assertThat(server.service.requests).isEmpty();
    client.close();
    // A thread of gRPC's that is at work on the channel does it, when it comes to that.
    while (client.connectivity() != ConnectivityState.SHUTDOWN) {
      Thread.onSpinWait();
    }
  }

  @Test
  void aRefreshOutlivesTheContextOfItsFirstCaller() throws Exception {
    server.service.hold();
    CachedTokenSource source = client.tokenSource(ALICE, PATIENT);
    Context.CancellableContext first = Context.current().withCancellation();
    CompletableFuture<Token> asked = first.call(() -> source.tokenAsync());
    CompletableFuture<Token> other = source.tokenAsync();
    ScriptedService.Call call = server.service.held.take();

    first.cancel(null);
    call.answer(ANSWER);

    assertThat(other.get()).isEqualTo(TOKEN);
    assertThat(asked).isCompletedExceptionally();
  }

  @Test
  void aRefreshHasADeadlineOfItsOwn() {
    server.service.hold();
    CachingPolicy hasty = CachingPolicy.defaults().withRefreshTimeout(Duration.ofMillis(50));

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.tokenSource(ALICE, hasty).token())
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED));
  }

  @Test
  void closingASourceEndsItsCall() throws Exception {
    server.service.hold();
    CachedTokenSource source = client.tokenSource(ALICE, PATIENT);
    CompletableFuture<Token> token = source.tokenAsync();
    server.service.held.take();

    source.close();

    assertThat(token).isCompletedExceptionally();
    assertThat(server.service.cancelled.get()).isTrue();
  }

  @Test
  void closingTheClientWakesThoseWhoWaitForItsSources() throws Exception {
    server.service.hold();
    CompletableFuture<Token> token = client.tokenSource(ALICE, PATIENT).tokenAsync();
    server.service.held.take();

    client.close();

    assertThat(token.handle((brought, failure) -> failure).get()).isInstanceOf(TokendException.class);
  }

  @Test
  void interceptorsSeeEveryCall() {
    List<String> seen = new ArrayList<>();
    ClientInterceptor recorder =
        new ClientInterceptor() {
          @Override
          public <Q, R> ClientCall<Q, R> interceptCall(
              MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
            seen.add(String.valueOf(method.getBareMethodName()));
            return next.newCall(method, options);
          }
        };
    server.service.then(failure(Code.UNAVAILABLE, "draining"));
    server.service.then(ANSWER);
    Client watched = server.client().intercept(recorder).build();
    watched.getOpenIdTokenForDeveloperIdentity(ALICE);
    watched.close();

    assertThat(seen).containsExactly("GetOpenIdTokenForDeveloperIdentity");
  }

  static List<GetOpenIdTokenForDeveloperIdentityResponse> answersThatBreakTheContract() {
    return List.of(
        ANSWER.toBuilder().clearExpireTime().build(),
        ANSWER.toBuilder().setExpireTime(Timestamp.newBuilder().setSeconds(1L << 62)).build(),
        ANSWER.toBuilder().setExpireTime(Timestamp.newBuilder().setSeconds(900).setNanos(-1)).build(),
        ANSWER.toBuilder().setIssueTime(Timestamp.newBuilder().setSeconds(-1L << 62)).build(),
        ANSWER.toBuilder().setRefreshTime(Timestamp.newBuilder().setNanos(1_000_000_000)).build(),
        ANSWER.toBuilder().setExpireTime(ANSWER.getIssueTime()).build());
  }

  @ParameterizedTest
  @MethodSource("answersThatBreakTheContract")
  void anAnswerThatBreaksTheContractIsAFailure(GetOpenIdTokenForDeveloperIdentityResponse answer) {
    server.service.then(answer);

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentity(ALICE))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.INTERNAL))
        .satisfies(e -> assertThat(e.reason()).isEmpty());
  }

  @Test
  void aServerThatDoesNotTellItsTimeIsUnderstood() {
    server.service.then(ANSWER.toBuilder().clearIssueTime().build());

    assertThat(client.getOpenIdTokenForDeveloperIdentity(ALICE).issueTime()).isNull();
  }

  @Test
  void anAttemptWithoutAnAnswerIsMadeOnceMore() throws Exception {
    server.service.hold();
    // The first attempt ends after half of the time, and the other half is enough for a busy machine.
    CompletableFuture<Token> token =
        client.withDeadline(Duration.ofSeconds(8)).getOpenIdTokenForDeveloperIdentityAsync(ALICE);
    server.service.held.take();

    server.service.held.take().answer(ANSWER);

    assertThat(token.get()).isEqualTo(TOKEN);
    assertThat(server.service.requests).hasSize(2);
    assertThat(server.service.requests.get(1)).isEqualTo(server.service.requests.get(0));
  }

  @Test
  void theSourcesAndCachesOfAClientShareTheirTurns() throws Exception {
    server.service.hold();
    TokenCache cache = client.tokenCache(PATIENT, 100);
    List<CompletableFuture<Token>> tokens = new ArrayList<>();
    for (int user = 0; user < 40; user++) {
      tokens.add(cache.tokenAsync(TokenRequest.of("pool", "provider", "user-" + user)));
    }
    tokens.add(client.withDeadline(Duration.ofMinutes(2)).tokenSource(ALICE, PATIENT).tokenAsync());

    for (int call = 0; call < 32; call++) {
      server.service.held.take();
    }
    client.withDeadline(Duration.ofSeconds(1)).lookupDeveloperIdentityAsync(LookupRequest.ofUser("pool", "alice"));
    assertThat(server.service.held.take()).isNotNull();
    assertThat(server.service.requests.get(32)).isInstanceOf(LookupDeveloperIdentityRequest.class);
    assertThat(tokens).noneMatch(CompletableFuture::isDone);
    cache.close();
  }
}

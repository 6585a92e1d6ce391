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
import io.grpc.Context;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import tokend.v1.DeveloperIdentityServiceGrpc;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityRequest;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityResponse;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;
import tokend.v1.MergeDeveloperIdentitiesRequest;
import tokend.v1.MergeDeveloperIdentitiesResponse;
import tokend.v1.UnlinkDeveloperIdentityRequest;
import tokend.v1.UnlinkDeveloperIdentityResponse;

class TokendClientTest {
  private static final TokenRequest ALICE = TokenRequest.of("pool", "provider", "alice");

  private static final GetOpenIdTokenForDeveloperIdentityResponse TOKEN =
      GetOpenIdTokenForDeveloperIdentityResponse.newBuilder()
          .setIdentityId("pool:1")
          .setToken("jwt")
          .setExpireTime(Timestamp.newBuilder().setSeconds(900).setNanos(5_000_000))
          .setRefreshTime(Timestamp.newBuilder().setSeconds(450))
          .build();

  private static final TokenSnapshot SNAPSHOT =
      new TokenSnapshot("pool:1", "jwt", Instant.ofEpochMilli(900_005), Instant.ofEpochSecond(450));

  private ScriptedServer server;
  private TokendClient client;

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
    server.service.then(TOKEN);
    TokenRequest request =
        TokenRequest.builder("pool")
            .identityId("pool:1")
            .login("provider", "alice")
            .login("accounts.google.com", "id-token")
            .principalTag("team", "red")
            .tokenDuration(Duration.ofSeconds(60, 7))
            .build();

    assertThat(client.getOpenIdTokenForDeveloperIdentity(request)).isEqualTo(SNAPSHOT);

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
    server.service.then(TOKEN);
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
    server.service.then(TOKEN);
    server.service.then(LookupDeveloperIdentityResponse.newBuilder().setIdentityId("pool:1").build());
    server.service.then(MergeDeveloperIdentitiesResponse.newBuilder().setIdentityId("pool:1").build());
    server.service.then(UnlinkDeveloperIdentityResponse.getDefaultInstance());

    assertThat(client.getOpenIdTokenForDeveloperIdentityAsync(ALICE).get()).isEqualTo(SNAPSHOT);
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
    server.service.then(TOKEN);
    server.service.then(TOKEN);
    client.getOpenIdTokenForDeveloperIdentity(ALICE);
    client.withDeadline(Duration.ofSeconds(1)).getOpenIdTokenForDeveloperIdentity(ALICE);

    assertThat(server.service.deadlines).hasSize(2);
    assertThat(server.service.deadlines.get(0).timeRemaining(TimeUnit.SECONDS)).isLessThanOrEqualTo(3);
    assertThat(server.service.deadlines.get(1).timeRemaining(TimeUnit.SECONDS)).isLessThanOrEqualTo(1);
  }

  @Test
  void aLongerDeadlineIsTheBuilders() {
    server.service.then(TOKEN);
    TokendClient patient = server.client().deadline(Duration.ofHours(1)).build();
    patient.getOpenIdTokenForDeveloperIdentity(ALICE);
    patient.close();

    assertThat(server.service.deadlines.get(0).timeRemaining(TimeUnit.MINUTES)).isGreaterThan(30);
  }

  @Test
  void aCallThatIsNotAnsweredEndsAtItsDeadline() {
    server.service.hold();

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.withDeadline(Duration.ofMillis(50)).getOpenIdTokenForDeveloperIdentity(ALICE))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED))
        .satisfies(e -> assertThat(e.reason()).isEmpty());
  }

  /** A client whose deadline cannot be what ends a call. */
  private void bePatient() {
    client.close();
    client = server.client().deadline(Duration.ofHours(1)).build();
  }

  @Test
  void cancellingTheFutureEndsTheCall() throws Exception {
    bePatient();
    server.service.hold();
    CompletableFuture<TokenSnapshot> token = client.getOpenIdTokenForDeveloperIdentityAsync(ALICE);
    server.service.held.take();

    token.cancel(true);

    assertThat(server.service.cancelled.get()).isTrue();
  }

  @Test
  void interruptingTheCallerEndsTheCall() throws Exception {
    bePatient();
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
    server.service.then(TOKEN);

    assertThat(client.getOpenIdTokenForDeveloperIdentity(ALICE)).isEqualTo(SNAPSHOT);
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
  }

  @Test
  void aRefreshOutlivesTheContextOfItsFirstCaller() throws Exception {
    server.service.hold();
    CachedTokenSource source = client.tokenSource(ALICE);
    Context.CancellableContext first = Context.current().withCancellation();
    CompletableFuture<TokenSnapshot> asked = first.call(() -> source.tokenAsync());
    CompletableFuture<TokenSnapshot> other = source.tokenAsync();
    ScriptedService.Call call = server.service.held.take();

    first.cancel(null);
    call.answer(TOKEN);

    assertThat(other.get()).isEqualTo(SNAPSHOT);
    assertThat(asked.get()).isEqualTo(SNAPSHOT);
  }

  @Test
  void aRefreshHasADeadlineOfItsOwn() {
    server.service.hold();
    CachingPolicy hasty = CachingPolicy.defaults().withRefreshDeadline(Duration.ofMillis(50));

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.tokenSource(ALICE, hasty).token())
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED));
  }

  @Test
  void closingASourceEndsItsCall() throws Exception {
    bePatient();
    server.service.hold();
    CachingPolicy policy = CachingPolicy.defaults().withRefreshDeadline(Duration.ofHours(1));
    CachedTokenSource source = client.tokenSource(ALICE, policy);
    CompletableFuture<TokenSnapshot> token = source.tokenAsync();
    server.service.held.take();

    source.close();

    assertThat(token).isCompletedExceptionally();
    assertThat(server.service.cancelled.get()).isTrue();
  }

  @Test
  void closingTheClientWakesThoseWhoWaitForItsSources() throws Exception {
    bePatient();
    server.service.hold();
    CachingPolicy policy = CachingPolicy.defaults().withRefreshDeadline(Duration.ofHours(1));
    CompletableFuture<TokenSnapshot> token = client.tokenSource(ALICE, policy).tokenAsync();
    server.service.held.take();

    client.close();

    assertThat(token.handle((snapshot, failure) -> failure).get()).isInstanceOf(TokendException.class);
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
    server.service.then(TOKEN);
    TokendClient watched = server.client().intercept(recorder).build();
    watched.getOpenIdTokenForDeveloperIdentity(ALICE);
    watched.close();

    assertThat(seen).containsExactly("GetOpenIdTokenForDeveloperIdentity");
  }
}

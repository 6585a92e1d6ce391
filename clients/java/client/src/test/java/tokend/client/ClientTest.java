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
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityRequest;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityResponse;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;
import tokend.v1.MergeDeveloperIdentitiesRequest;
import tokend.v1.MergeDeveloperIdentitiesResponse;
import tokend.v1.UnlinkDeveloperIdentityRequest;
import tokend.v1.UnlinkDeveloperIdentityResponse;

class ClientTest extends ClientOfScriptedServer {
  @Test
  void tokenRequestSendsAllFields() {
    server.service.then(RESPONSE);
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
  void missingDurationIsNotSent() {
    server.service.then(RESPONSE);
    client.getOpenIdTokenForDeveloperIdentity(ALICE);

    GetOpenIdTokenForDeveloperIdentityRequest sent =
        (GetOpenIdTokenForDeveloperIdentityRequest) server.service.requests.get(0);
    assertThat(sent.hasTokenDuration()).isFalse();
  }

  @Test
  void lookupReturnsResult() {
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
  void mergeReturnsIdentity() {
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
  void unlinkSendsAllFields() {
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
  void asyncMethodsReturnSameResults() throws Exception {
    server.service.then(RESPONSE);
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
  void blockingAndAsyncFailuresAreEqual() {
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
  void interceptorsSeeEachCallOnce() {
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
    server.service.then(RESPONSE);
    Client watched = server.client().intercept(recorder).build();
    watched.getOpenIdTokenForDeveloperIdentity(ALICE);
    watched.close();

    assertThat(seen).containsExactly("GetOpenIdTokenForDeveloperIdentity");
  }

  static List<GetOpenIdTokenForDeveloperIdentityResponse> invalidResponses() {
    return List.of(
        RESPONSE.toBuilder().clearExpireTime().build(),
        RESPONSE.toBuilder().setExpireTime(Timestamp.newBuilder().setSeconds(1L << 62)).build(),
        RESPONSE.toBuilder().setExpireTime(Timestamp.newBuilder().setSeconds(900).setNanos(-1)).build(),
        RESPONSE.toBuilder().setIssueTime(Timestamp.newBuilder().setSeconds(-1L << 62)).build(),
        RESPONSE.toBuilder().setRefreshTime(Timestamp.newBuilder().setNanos(1_000_000_000)).build(),
        RESPONSE.toBuilder().setExpireTime(RESPONSE.getIssueTime()).build());
  }

  @ParameterizedTest
  @MethodSource("invalidResponses")
  void invalidResponseIsProtocolError(GetOpenIdTokenForDeveloperIdentityResponse answer) {
    server.service.then(answer);

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentity(ALICE))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.INTERNAL))
        .satisfies(e -> assertThat(e.reason()).isEmpty());
  }

  @Test
  void responseWithoutIssueTimeIsAccepted() {
    server.service.then(RESPONSE.toBuilder().clearIssueTime().build());

    assertThat(client.getOpenIdTokenForDeveloperIdentity(ALICE).issueTime()).isNull();
  }
}

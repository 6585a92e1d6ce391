package tokend.client.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.catchThrowable;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.QuotaFailure;
import com.google.rpc.ResourceInfo;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.time.InstantSource;
import java.util.Objects;
import java.util.Set;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import tokend.client.CachedTokenSource;
import tokend.client.CachingPolicy;
import tokend.client.ErrorReason;
import tokend.client.FieldViolation;
import tokend.client.LookupRequest;
import tokend.client.MergeRequest;
import tokend.client.TokenRequest;
import tokend.client.TokendException;
import tokend.client.UnlinkRequest;

class FakeTokendServerTest extends ClientOfFakeServer {
  @Test
  void invalidRequestsAreRejectedLikeByTokend() {
    String alice = token("alice").identityId();
    String bob = token("bob").identityId();

    assertRefused(
        ErrorReason.VALIDATION_FAILED,
        Status.Code.INVALID_ARGUMENT,
        () -> client.getOpenIdTokenForDeveloperIdentity(TokenRequest.builder("").build()));
    assertRefused(
        ErrorReason.RESOURCE_NOT_FOUND,
        Status.Code.NOT_FOUND,
        () ->
            client.getOpenIdTokenForDeveloperIdentity(
                TokenRequest.of("local:00000000-0000-4000-8000-000000000000", PROVIDER, "alice")));
    assertRefused(
        ErrorReason.INVALID_PARAMETER,
        Status.Code.INVALID_ARGUMENT,
        () -> client.getOpenIdTokenForDeveloperIdentity(TokenRequest.of(POOL, "login.other.internal", "alice")));
    assertRefused(
        ErrorReason.NOT_AUTHORIZED,
        Status.Code.PERMISSION_DENIED,
        () ->
            client.getOpenIdTokenForDeveloperIdentity(
                TokenRequest.builder(POOL).login(PROVIDER, "alice").login("accounts.google.com", "x").build()));
    assertRefused(
        ErrorReason.INVALID_PARAMETER,
        Status.Code.INVALID_ARGUMENT,
        () ->
            client.getOpenIdTokenForDeveloperIdentity(
                TokenRequest.builder(POOL).login(PROVIDER, "alice").login("login.other.internal", "x").build()));
    assertRefused(
        ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED, Status.Code.ALREADY_EXISTS, () -> link("alice", bob));
    assertRefused(
        ErrorReason.RESOURCE_CONFLICT,
        Status.Code.FAILED_PRECONDITION,
        () -> client.lookupDeveloperIdentity(new LookupRequest(POOL, alice, "bob", 0, "")));
    assertRefused(
        ErrorReason.RESOURCE_CONFLICT,
        Status.Code.FAILED_PRECONDITION,
        () -> client.unlinkDeveloperIdentity(new UnlinkRequest(alice, POOL, PROVIDER, "bob")));
    assertRefused(
        ErrorReason.RESOURCE_NOT_FOUND,
        Status.Code.NOT_FOUND,
        () -> client.lookupDeveloperIdentity(LookupRequest.ofUser(POOL, "unknown")));
    for (int i = 2; i <= 20; i++) {
      link("alice" + i, alice);
    }
    assertRefused(ErrorReason.LIMIT_EXCEEDED, Status.Code.FAILED_PRECONDITION, () -> link("alice21", alice));
  }

  private static <T extends Message> T detail(Class<T> kind, ThrowingCallable call) throws Exception {
    com.google.rpc.Status status = StatusProto.fromThrowable(catchThrowable(call));
    for (Any detail : Objects.requireNonNull(status).getDetailsList()) {
      if (detail.is(kind)) {
        return detail.unpack(kind);
      }
    }
    throw new AssertionError("no " + kind.getSimpleName() + " in " + status);
  }

  @Test
  void errorsHaveResourceAndQuotaDetails() throws Exception {
    String alice = token("alice").identityId();
    for (int i = 2; i <= 20; i++) {
      link("alice" + i, alice);
    }

    assertThat(detail(QuotaFailure.class, () -> link("alice21", alice)).getViolationsList())
        .singleElement()
        .satisfies(violation -> assertThat(violation.getSubject()).isEqualTo(alice));
    assertThat(detail(ResourceInfo.class, () -> link("bob", "local:0")).getResourceName()).isEqualTo("local:0");
    assertThat(
            detail(ResourceInfo.class, () -> client.lookupDeveloperIdentity(LookupRequest.ofUser(POOL, "bob")))
                .getResourceName())
        .isEmpty();
  }

  @Test
  void allViolationsAreReported() {
    TokenRequest.Builder token = TokenRequest.builder("no pool").identityId("x".repeat(56)).login(PROVIDER, "");
    for (int i = 0; i <= 50; i++) {
      token.principalTag("tag" + i, "x".repeat(257));
    }
    assertViolations(
        () -> client.getOpenIdTokenForDeveloperIdentity(token.tokenDuration(Duration.ofMillis(500)).build()),
        "identity_pool_id", "identity_id", "logins.value", "principal_tags", "principal_tags.value", "token_duration");
    assertViolations(
        () -> client.lookupDeveloperIdentity(new LookupRequest("", "x", "x".repeat(1025), 61, "a b")),
        "identity_pool_id", "identity_id", "developer_user_identifier", "max_results", "next_token");
    assertViolations(
        () -> client.mergeDeveloperIdentities(new MergeRequest("", "x".repeat(1025), "a b", "")),
        "source_user_identifier", "destination_user_identifier", "developer_provider_name", "identity_pool_id");
    assertViolations(
        () -> client.unlinkDeveloperIdentity(new UnlinkRequest("", "", "", "")),
        "identity_id", "developer_user_identifier", "developer_provider_name", "identity_pool_id");
  }

  @Test
  void trailingLineFeedViolatesLimit() {
    assertViolations(
        () ->
            client.unlinkDeveloperIdentity(
                new UnlinkRequest(POOL + "\n", POOL + "\n", PROVIDER + "\n", "alice\n")),
        "identity_id", "identity_pool_id", "developer_provider_name");
    assertViolations(
        () -> client.lookupDeveloperIdentity(new LookupRequest(POOL, "", "alice", 1, "x\n")), "next_token");
  }

  private static void assertViolations(ThrowingCallable call, String... fields) {
    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(call)
        .withMessageContaining("Fields of the request break their limits")
        .satisfies(e -> assertThat(e.reason()).contains(ErrorReason.VALIDATION_FAILED))
        .satisfies(
            e ->
                assertThat(Set.copyOf(e.violations().stream().map(FieldViolation::field).toList()))
                    .isEqualTo(Set.of(fields)));
  }

  @Test
  void sourceCachesToken() {
    CachingPolicy policy = CachingPolicy.defaults().withClocks(InstantSource.fixed(NOW), () -> 0);
    try (CachedTokenSource source = client.tokenSource(request("alice"), policy)) {
      assertThat(source.token()).isSameAs(source.token());
    }
    assertThat(server.calls("GetOpenIdTokenForDeveloperIdentity")).isEqualTo(1);
  }
}

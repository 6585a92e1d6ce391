package tokend.client.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.nimbusds.jose.crypto.RSASSAVerifier;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jwt.SignedJWT;
import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.Map;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import tokend.client.CachedTokenSource;
import tokend.client.CachingPolicy;
import tokend.client.Client;
import tokend.client.ErrorReason;
import tokend.client.LookupRequest;
import tokend.client.LookupResult;
import tokend.client.MergeRequest;
import tokend.client.Token;
import tokend.client.TokenRequest;
import tokend.client.TokendException;
import tokend.client.UnlinkRequest;

class FakeTokendServerTest {
  private static final String POOL = FakeTokendServer.IDENTITY_POOL_ID;
  private static final String PROVIDER = FakeTokendServer.DEVELOPER_PROVIDER_NAME;
  private static final Instant NOW = Instant.parse("2026-11-22T12:00:00Z");

  private final FakeTokendServer server = FakeTokendServer.start(InstantSource.fixed(NOW));
  private final Client client = server.client();

  @AfterEach
  void stop() {
    server.close();
  }

  private static TokenRequest request(String user) {
    return TokenRequest.of(POOL, PROVIDER, user);
  }

  private Token token(String user) {
    return client.getOpenIdTokenForDeveloperIdentity(request(user));
  }

  private Token link(String user, String identityId) {
    return client.getOpenIdTokenForDeveloperIdentity(
        TokenRequest.builder(POOL).login(PROVIDER, user).identityId(identityId).build());
  }

  private static void assertRefused(ErrorReason reason, Status.Code code, ThrowingCallable call) {
    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(call)
        .satisfies(e -> assertThat(e.reason()).contains(reason))
        .satisfies(e -> assertThat(e.code()).isEqualTo(code));
  }

  private boolean verifies(String token) throws Exception {
    SignedJWT jwt = SignedJWT.parse(token);
    JWKSet keys = JWKSet.parse(server.jwks());
    return jwt.verify(new RSASSAVerifier(keys.getKeyByKeyId(jwt.getHeader().getKeyID()).toRSAKey()));
  }

  @Test
  void theSameUserHasTheSameIdentity() {
    assertThat(token("alice").identityId()).isEqualTo(token("alice").identityId()).startsWith("local:");
    assertThat(token("alice").identityId()).isNotEqualTo(token("bob").identityId());
  }

  @Test
  void tokensAreRealOnes() throws Exception {
    Token token =
        client.getOpenIdTokenForDeveloperIdentity(
            TokenRequest.builder(POOL)
                .login(PROVIDER, "alice")
                .principalTag("team", "red")
                .tokenDuration(Duration.ofSeconds(60))
                .build());

    assertThat(verifies(token.value())).isTrue();
    SignedJWT jwt = SignedJWT.parse(token.value());
    assertThat(jwt.getHeader().toJSONObject()).containsOnlyKeys("kid", "typ", "alg").containsEntry("typ", "JWS");
    assertThat(jwt.getPayload().toJSONObject())
        .containsEntry("sub", token.identityId())
        .containsEntry("aud", POOL)
        .containsEntry("iss", FakeTokendServer.ISSUER)
        .containsEntry("amr", List.of("authenticated", PROVIDER, PROVIDER + ":" + POOL + ":alice"))
        .containsEntry("https://aws.amazon.com/tags", Map.of("principal_tags", Map.of("team", List.of("red"))))
        .containsEntry("iat", NOW.getEpochSecond())
        .containsEntry("exp", NOW.getEpochSecond() + 60);
    assertThat(token.issueTime()).isEqualTo(NOW);
    assertThat(token.expireTime()).isEqualTo(NOW.plusSeconds(60));
    assertThat(token.refreshTime()).isEqualTo(NOW.plusSeconds(20));
    assertThat(server.jwks()).doesNotContain("\"d\"");
  }

  @Test
  void tokensFromBeforeARotationVerify() throws Exception {
    Token before = token("alice");
    server.rotateKey();
    Token after = token("alice");

    assertThat(SignedJWT.parse(before.value()).getHeader().getKeyID())
        .isNotEqualTo(SignedJWT.parse(after.value()).getHeader().getKeyID());
    assertThat(verifies(before.value())).isTrue();
    assertThat(verifies(after.value())).isTrue();
  }

  @Test
  void usersAreLinkedLookedUpMergedAndUnlinked() {
    String alice = token("alice").identityId();
    assertThat(link("alice2", alice).identityId()).isEqualTo(alice);
    String bob = token("bob").identityId();

    assertThat(client.lookupDeveloperIdentity(LookupRequest.ofUser(POOL, "bob")).identityId()).isEqualTo(bob);
    assertThat(client.mergeDeveloperIdentities(new MergeRequest("bob", "alice", PROVIDER, POOL))).isEqualTo(alice);
    assertThat(client.lookupDeveloperIdentity(LookupRequest.ofIdentity(POOL, alice)).developerUserIdentifiers())
        .containsExactly("alice", "alice2", "bob");
    client.unlinkDeveloperIdentity(new UnlinkRequest(alice, POOL, PROVIDER, "bob"));
    assertThat(client.lookupDeveloperIdentity(LookupRequest.ofIdentity(POOL, alice)).developerUserIdentifiers())
        .containsExactly("alice", "alice2");
    assertThat(token("bob").identityId()).isNotEqualTo(bob);
    assertRefused(ErrorReason.NOT_AUTHORIZED, Status.Code.PERMISSION_DENIED, () -> link("carol", bob));
  }

  @Test
  void longLookupsComeInPages() {
    String alice = token("alice").identityId();
    link("alice2", alice);
    link("alice3", alice);
    LookupRequest first = new LookupRequest(POOL, alice, "", 2, "");

    LookupResult page = client.lookupDeveloperIdentity(first);
    assertThat(page.developerUserIdentifiers()).containsExactly("alice", "alice2");
    LookupResult last = client.lookupDeveloperIdentity(first.withNextToken(page.nextToken()));
    assertThat(last.developerUserIdentifiers()).containsExactly("alice3");
    assertThat(last.nextToken()).isEmpty();
  }

  @Test
  void refusesWhatTokendRefuses() {
    String alice = token("alice").identityId();
    String bob = token("bob").identityId();

    assertRefused(
        ErrorReason.VALIDATION_FAILED,
        Status.Code.INVALID_ARGUMENT,
        () -> client.getOpenIdTokenForDeveloperIdentity(TokenRequest.builder("").build()));
    assertRefused(
        ErrorReason.RESOURCE_NOT_FOUND,
        Status.Code.NOT_FOUND,
        () -> client.getOpenIdTokenForDeveloperIdentity(TokenRequest.of("local:none", PROVIDER, "alice")));
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

  @ParameterizedTest
  @EnumSource(ErrorReason.class)
  void failsForEveryReason(ErrorReason reason) {
    server.failNext(Failure.of(reason).withRetryDelay(Duration.ofMillis(1500)));
    server.fail(Failure.of(reason).withRetryDelay(Duration.ofMillis(1500)));

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> token("alice"))
        .satisfies(e -> assertThat(e.reason()).contains(reason))
        .satisfies(e -> assertThat(e.retryDelay()).contains(Duration.ofMillis(1500)));
  }

  @Test
  void aFailureEndsWithTheNextCallOrWithRecovery() {
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
  void aSourceKeepsItsTokens() {
    CachingPolicy policy = CachingPolicy.defaults().withClocks(InstantSource.fixed(NOW), () -> 0);
    try (CachedTokenSource source = client.tokenSource(request("alice"), policy)) {
      assertThat(source.token()).isSameAs(source.token());
    }
    assertThat(server.calls("GetOpenIdTokenForDeveloperIdentity")).isEqualTo(1);
  }
}

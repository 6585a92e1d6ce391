package tokend.client.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.catchThrowable;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.QuotaFailure;
import com.google.rpc.ResourceInfo;
import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.crypto.RSASSAVerifier;
import com.nimbusds.jose.crypto.factories.DefaultJWSVerifierFactory;
import com.nimbusds.jose.jwk.AsymmetricJWK;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.SignedJWT;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.Key;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import tokend.client.CachedTokenSource;
import tokend.client.CachingPolicy;
import tokend.client.Client;
import tokend.client.ErrorReason;
import tokend.client.FieldViolation;
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
  private static final Duration PATIENCE = Duration.ofMinutes(1);
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
  void aUserIsOneTextAndNoOther() {
    assertThat(token("bob\ud83d\ude00").identityId()).isNotEqualTo(token("bob?").identityId());
    for (String user : new String[] {"bob\ud83d", "bob\ude00", "bob\ude00\ud83d"}) {
      assertThatIllegalArgumentException().isThrownBy(() -> token(user)).withMessageContaining("logins");
      assertThatExceptionOfType(TokendException.class)
          .isThrownBy(() -> client.tokenCache().token(request(user)))
          .satisfies(failure -> assertThat(failure.code()).isEqualTo(Status.Code.UNKNOWN));
    }
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
  void theServersOfAProcessShareTheirRsaKeysAlone() {
    InstantSource clock = InstantSource.system();
    try (FakeTokendServer other = FakeTokendServer.start();
        FakeTokendServer elliptic = FakeTokendServer.start(clock, JWSAlgorithm.ES256);
        FakeTokendServer anotherElliptic = FakeTokendServer.start(clock, JWSAlgorithm.ES256)) {
      assertThat(other.jwks()).isEqualTo(server.jwks());
      assertThat(anotherElliptic.jwks()).isNotEqualTo(elliptic.jwks());
    }
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
  void aPageFollowsTheOneBeforeWhenItsUsersHaveGone() {
    String alice = token("alice").identityId();
    link("alice2", alice);
    link("alice3", alice);
    LookupRequest first = new LookupRequest(POOL, alice, "", 2, "");

    LookupResult page = client.lookupDeveloperIdentity(first);
    for (String user : page.developerUserIdentifiers()) {
      client.unlinkDeveloperIdentity(new UnlinkRequest(alice, POOL, PROVIDER, user));
    }

    assertThat(client.lookupDeveloperIdentity(first.withNextToken(page.nextToken())).developerUserIdentifiers())
        .containsExactly("alice3");
  }

  @ParameterizedTest
  @ValueSource(strings = {"abc", "-5", "0", "99999999999", "!", "\u00fc"})
  void aPageTokenOfNoPageIsRefused(String pageToken) {
    String alice = token("alice").identityId();

    assertRefused(
        ErrorReason.INVALID_PARAMETER,
        Status.Code.INVALID_ARGUMENT,
        () -> client.lookupDeveloperIdentity(new LookupRequest(POOL, alice, "", 1, pageToken)));
  }

  @Test
  void aPageTokenIsGoodForItsIdentityAlone() {
    String alice = token("alice").identityId();
    link("alice2", alice);
    String bob = token("bob").identityId();
    LookupRequest first = new LookupRequest(POOL, alice, "", 1, "");
    String pageToken = client.lookupDeveloperIdentity(first).nextToken();

    assertRefused(
        ErrorReason.INVALID_PARAMETER,
        Status.Code.INVALID_ARGUMENT,
        () -> client.lookupDeveloperIdentity(new LookupRequest(POOL, bob, "", 1, pageToken)));
  }

  @Test
  void aMergeOfTooManyUsersChangesNothing() {
    String alice = token("alice").identityId();
    String bob = token("bob").identityId();
    for (int i = 2; i <= 11; i++) {
      link("alice" + i, alice);
      link("bob" + i, bob);
    }

    assertRefused(
        ErrorReason.LIMIT_EXCEEDED,
        Status.Code.FAILED_PRECONDITION,
        () -> client.mergeDeveloperIdentities(new MergeRequest("bob", "alice", PROVIDER, POOL)));

    for (String id : List.of(alice, bob)) {
      assertThat(client.lookupDeveloperIdentity(LookupRequest.ofIdentity(POOL, id)).developerUserIdentifiers())
          .hasSize(11);
    }
    assertThat(token("bob2").identityId()).isEqualTo(bob);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 10})
  void refreshTimesAreWholeSeconds(int seconds) {
    TokenRequest request =
        TokenRequest.builder(POOL).login(PROVIDER, "alice").tokenDuration(Duration.ofSeconds(seconds)).build();

    assertThat(client.getOpenIdTokenForDeveloperIdentity(request).refreshTime()).isEqualTo(NOW.plusSeconds(seconds / 3));
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
  void aRefusalNamesWhatItIsAbout() throws Exception {
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
  void aFailureMayBeNoAnswerAtAll() {
    server.failNext(Failure.hanging());
    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(
            () -> client.withDeadline(Duration.ofMillis(100)).getOpenIdTokenForDeveloperIdentity(request("alice")))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED));
    token("alice");
  }

  @Test
  void callsWaitWhileItIsPaused() throws Exception {
    server.pause();
    CompletableFuture<Token> waiting = client.getOpenIdTokenForDeveloperIdentityAsync(request("alice"));
    server.waitForCalls("GetOpenIdTokenForDeveloperIdentity", 1, PATIENCE);
    assertThat(waiting).isNotDone();
    server.resume();
    assertThat(waiting.get(PATIENCE.toSeconds(), TimeUnit.SECONDS).identityId()).isEqualTo(token("alice").identityId());
  }

  @Test
  void aCallWhoseCallerHasGoneTakesNoFailure() throws Exception {
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
      failures.waitForCalls("LookupDeveloperIdentity", 1, PATIENCE);
      caller.cancel(null);
      failures.failNext(once);
      failures.resume();

      assertThat(gone.get(PATIENCE.toSeconds(), TimeUnit.SECONDS)).contains(Failure.of(Status.Code.CANCELLED));
    }
    assertThat(failures.count("LookupDeveloperIdentity")).isEqualTo(once);
  }

  @Test
  void callsThatDoNotComeAreReported() {
    assertThatExceptionOfType(AssertionError.class)
        .isThrownBy(() -> server.waitForCalls("LookupDeveloperIdentity", 1, Duration.ofMillis(1)))
        .withMessageContaining("0 of 1 calls of LookupDeveloperIdentity");
  }

  @ParameterizedTest
  @ValueSource(strings = {"RS512", "RS256", "ES256"})
  void theIssuerIsServed(String algorithm) throws Exception {
    try (FakeTokendServer other = FakeTokendServer.start(InstantSource.system(), JWSAlgorithm.parse(algorithm))) {
      String url = other.serveIssuer();
      SignedJWT jwt = SignedJWT.parse(other.client().getOpenIdTokenForDeveloperIdentity(request("alice")).value());
      Map<String, Object> discovery = JSONObjectUtils.parse(get(url + "/.well-known/openid-configuration"));
      JWK key = JWKSet.parse(get(String.valueOf(discovery.get("jwks_uri")))).getKeyByKeyId(jwt.getHeader().getKeyID());

      assertThat(discovery).containsEntry("issuer", url);
      assertThat(jwt.getJWTClaimsSet().getIssuer()).isEqualTo(url);
      assertThat(jwt.getHeader().getAlgorithm().getName()).isEqualTo(algorithm);
      JWSVerifier verifier = new DefaultJWSVerifierFactory().createJWSVerifier(jwt.getHeader(), publicKey(key));
      assertThat(jwt.verify(verifier)).isTrue();
      assertThat(other.serveIssuer()).isEqualTo(url);
    }
  }

  @Test
  void otherAlgorithmsAreRefused() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> FakeTokendServer.start(InstantSource.system(), JWSAlgorithm.HS256))
        .withMessageContaining("RS512");
  }

  @Test
  void allFieldsThatBreakTheirLimitsAreNamed() {
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
  void aLineFeedAtTheEndBreaksALimit() {
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

  private static Key publicKey(JWK key) throws JOSEException {
    return key instanceof AsymmetricJWK pair ? pair.toPublicKey() : key.toOctetSequenceKey().toSecretKey();
  }

  private static String get(String url) throws IOException, InterruptedException {
    return HttpClient.newHttpClient()
        .send(HttpRequest.newBuilder(URI.create(url)).timeout(PATIENCE).build(), HttpResponse.BodyHandlers.ofString())
        .body();
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

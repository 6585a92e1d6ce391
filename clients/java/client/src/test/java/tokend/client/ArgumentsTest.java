package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.net.http.HttpClient;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.jspecify.annotations.NullUnmarked;
import org.junit.jupiter.api.Test;

/** Invalid arguments are rejected at once, with their names. */
@NullUnmarked
class ArgumentsTest {
  private static final TokenRequest ALICE = TokenRequest.of("pool", "provider", "alice");
  private static final UnlinkRequest UNLINK = new UnlinkRequest("id", "pool", "provider", "alice");
  private static final CachingPolicy POLICY = CachingPolicy.defaults();

  private static Map<ThrowingCallable, String> withNull(Client client, TokenCache cache) {
    CachedTokenSource source = cache.source(ALICE);
    ClientBuilder builder = Client.builder("localhost:1");
    return Map.ofEntries(
        Map.entry(() -> Client.builder(null), "target"),
        Map.entry(() -> builder.channelCredentials(null), "value"),
        Map.entry(() -> builder.bearerTokenFile(null), "value"),
        Map.entry(() -> builder.deadline(null), "deadline"),
        Map.entry(() -> builder.transport(null), "value"),
        Map.entry(() -> builder.keepAlive(null, Duration.ZERO), "time"),
        Map.entry(() -> client.withDeadline(null), "deadline"),
        Map.entry(() -> client.getOpenIdTokenForDeveloperIdentity(null), "request"),
        Map.entry(() -> client.getOpenIdTokenForDeveloperIdentityAsync(null), "request"),
        Map.entry(() -> client.lookupDeveloperIdentityAsync(null), "request"),
        Map.entry(() -> client.mergeDeveloperIdentitiesAsync(null), "request"),
        Map.entry(() -> client.unlinkDeveloperIdentityAsync(null), "request"),
        Map.entry(() -> client.tokenSource(null), "request"),
        Map.entry(() -> client.tokenSource(ALICE, null), "policy"),
        Map.entry(() -> client.tokenCache(null, 1), "policy"),
        Map.entry(() -> cache.token(null), "request"),
        Map.entry(() -> cache.token(ALICE, null), "timeout"),
        Map.entry(() -> cache.tokenAsync(null), "request"),
        Map.entry(() -> cache.source(null), "request"),
        Map.entry(() -> cache.invalidate(ALICE, null), "rejected"),
        Map.entry(() -> source.token(null), "timeout"),
        Map.entry(() -> source.invalidate(null), "rejected"),
        Map.entry(() -> new TokendCallCredentials(null), "source"),
        Map.entry(() -> new TokendClientInterceptor(null), "source"),
        Map.entry(() -> new TokendHttpClient(null, source), "client"),
        Map.entry(() -> new TokendHttpClient(HttpClient.newHttpClient(), null), "source"),
        Map.entry(() -> POLICY.withSkew(null), "skew"),
        Map.entry(() -> POLICY.withRefreshTimeout(null), "refreshTimeout"),
        Map.entry(() -> POLICY.withClocks(null, System::nanoTime), "clock"),
        Map.entry(() -> POLICY.withRandom(null), "random"),
        Map.entry(() -> TokenRequest.of(null, "provider", "alice"), "identityPoolId"),
        Map.entry(() -> TokenRequest.of("pool", null, "alice"), "providerName"),
        Map.entry(() -> TokenRequest.of("pool", "provider", null), "login"),
        Map.entry(() -> new TokenRequest("pool", null, Map.of(), Map.of(), null), "identityId"),
        Map.entry(() -> new TokenRequest("pool", "", null, Map.of(), null), "logins"),
        Map.entry(() -> LookupRequest.ofUser("pool", null), "developerUserIdentifier"),
        Map.entry(() -> LookupRequest.ofIdentity("pool", "id").withNextToken(null), "nextToken"),
        Map.entry(() -> new MergeRequest(null, "b", "provider", "pool"), "sourceUserIdentifier"),
        Map.entry(() -> new UnlinkRequest("id", "pool", "provider", null), "developerUserIdentifier"));
  }

  @Test
  void nullIsRejectedByName() {
    try (Client client = Client.builder("localhost:1").plaintext().build();
        TokenCache cache = client.tokenCache()) {
      withNull(client, cache)
          .forEach(
              (call, name) -> assertThatThrownBy(call).isInstanceOf(NullPointerException.class).hasMessage(name));
    }
  }

  @Test
  void invalidDurationsAreRejected() {
    Duration negative = Duration.ofNanos(-1);
    assertThat(POLICY.withSkew(Duration.ZERO).skew()).isZero();
    assertThatIllegalArgumentException().isThrownBy(() -> POLICY.withSkew(negative)).withMessageContaining("skew");
    for (Duration none : new Duration[] {Duration.ZERO, negative}) {
      assertThatIllegalArgumentException().isThrownBy(() -> POLICY.withRefreshTimeout(none));
      assertThatIllegalArgumentException().isThrownBy(() -> Client.builder("localhost:1").deadline(none));
      assertThatIllegalArgumentException()
          .isThrownBy(() -> Client.builder("localhost:1").keepAlive(none, Duration.ofSeconds(1)));
    }
  }

  @Test
  void longestDurationsAreAccepted() {
    Duration forever = ChronoUnit.FOREVER.getDuration();
    ClientBuilder builder = Client.builder("localhost:1").plaintext().deadline(forever).keepAlive(forever, forever);
    try (Client client = builder.build()) {
      assertThat(client.getOpenIdTokenForDeveloperIdentityAsync(ALICE).cancel(false)).isTrue();
      assertThat(client.withDeadline(forever).unlinkDeveloperIdentityAsync(UNLINK).cancel(false)).isTrue();
    }
  }

  private static Map<ThrowingCallable, String> withUnpairedSurrogate(Client client) {
    String half = "bob\ud83d";
    return Map.ofEntries(
        Map.entry(() -> client.getOpenIdTokenForDeveloperIdentity(TokenRequest.of(half, "a", "b")), "identityPoolId"),
        Map.entry(() -> client.getOpenIdTokenForDeveloperIdentity(TokenRequest.of("p", half, "b")), "logins"),
        Map.entry(() -> client.getOpenIdTokenForDeveloperIdentity(TokenRequest.of("p", "a", half)), "logins"),
        Map.entry(
            () -> client.getOpenIdTokenForDeveloperIdentity(TokenRequest.builder("p").identityId(half).build()),
            "identityId"),
        Map.entry(
            () -> client.getOpenIdTokenForDeveloperIdentity(TokenRequest.builder("p").principalTag(half, "a").build()),
            "principalTags"),
        Map.entry(
            () -> client.getOpenIdTokenForDeveloperIdentity(TokenRequest.builder("p").principalTag("a", half).build()),
            "principalTags"),
        Map.entry(() -> client.lookupDeveloperIdentity(LookupRequest.ofIdentity(half, "id")), "identityPoolId"),
        Map.entry(() -> client.lookupDeveloperIdentity(LookupRequest.ofIdentity("p", half)), "identityId"),
        Map.entry(() -> client.lookupDeveloperIdentity(LookupRequest.ofUser("p", half)), "developerUserIdentifier"),
        Map.entry(
            () -> client.lookupDeveloperIdentity(LookupRequest.ofUser("p", "a").withNextToken(half)), "nextToken"),
        Map.entry(
            () -> client.mergeDeveloperIdentities(new MergeRequest(half, "b", "c", "p")), "sourceUserIdentifier"),
        Map.entry(
            () -> client.mergeDeveloperIdentities(new MergeRequest("a", half, "c", "p")), "destinationUserIdentifier"),
        Map.entry(
            () -> client.mergeDeveloperIdentities(new MergeRequest("a", "b", half, "p")), "developerProviderName"),
        Map.entry(() -> client.mergeDeveloperIdentities(new MergeRequest("a", "b", "c", half)), "identityPoolId"),
        Map.entry(() -> client.unlinkDeveloperIdentity(new UnlinkRequest(half, "p", "c", "a")), "identityId"),
        Map.entry(() -> client.unlinkDeveloperIdentity(new UnlinkRequest("id", half, "c", "a")), "identityPoolId"),
        Map.entry(
            () -> client.unlinkDeveloperIdentity(new UnlinkRequest("id", "p", half, "a")), "developerProviderName"),
        Map.entry(
            () -> client.unlinkDeveloperIdentity(new UnlinkRequest("id", "p", "c", half)), "developerUserIdentifier"));
  }

  /** Protobuf would replace an unpaired surrogate. */
  @Test
  void invalidUnicodeIsRejected() {
    try (Client client = Client.builder("localhost:1").plaintext().build()) {
      withUnpairedSurrogate(client)
          .forEach(
              (call, name) ->
                  assertThatIllegalArgumentException()
                      .isThrownBy(call)
                      .withMessageStartingWith(name + " ")
                      .withMessageNotContaining("bob"));
    }
  }
}

package tokend.verifier;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatNullPointerException;

import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.util.Base64URL;
import com.nimbusds.jose.util.JSONObjectUtils;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tokend.client.Client;
import tokend.client.Token;
import tokend.client.TokenRequest;
import tokend.client.testing.FakeTokendServer;

/** The verifier with tokens of the fake server, whose keys it fetches over HTTP. */
class TokenVerifierTest {
  private static final String POOL = FakeTokendServer.IDENTITY_POOL_ID;
  private static final String PROVIDER = FakeTokendServer.DEVELOPER_PROVIDER_NAME;
  private static final Instant NOW = Instant.parse("2026-11-22T12:00:00Z");

  private final FakeTokendServer server = FakeTokendServer.start(() -> NOW);
  private final Client client = server.clientBuilder().deadline(Duration.ofMinutes(1)).build();
  private final Pages pages = new Pages(Map.of("/keys", server::jwks));
  private Instant now = NOW;

  @AfterEach
  void stop() {
    client.close();
    server.close();
    pages.close();
  }

  private Token issue() {
    return client.getOpenIdTokenForDeveloperIdentity(
        TokenRequest.builder(POOL)
            .login(PROVIDER, "alice")
            .principalTag("team", "red")
            .tokenDuration(Duration.ofMinutes(15))
            .build());
  }

  private TokenVerifier.Builder builder(String issuer, String... audiences) {
    return TokenVerifier.builder(issuer, audiences).keysAt(pages.at("/keys")).clock(() -> now);
  }

  private TokenVerifier verifier(UnaryOperator<TokenVerifier.Builder> settings) {
    return settings.apply(builder(FakeTokendServer.ISSUER, "another pool", POOL)).build();
  }

  private final TokenVerifier verifier = verifier(builder -> builder);

  private static void assertRejected(TokenVerifier verifier, String token, String why) {
    assertThatExceptionOfType(TokenRejectedException.class)
        .isThrownBy(() -> verifier.verify(token))
        .withMessageContaining(why);
  }

  @Test
  void validTokenHasIdentity() throws Exception {
    Token token = issue();

    Identity identity = verifier.verify(token.value());

    assertThat(identity)
        .isEqualTo(
            new Identity(
                token.identityId(),
                POOL,
                FakeTokendServer.ISSUER,
                List.of("authenticated", PROVIDER, PROVIDER + ":" + POOL + ":alice"),
                Map.of("team", "red"),
                NOW,
                token.expireTime()));
    assertThat(identity.toString()).contains(token.identityId()).doesNotContain("alice", "red,", "=red");
  }

  @Test
  void keysAreFetchedOnceAndAgainForUnknownKey() throws Exception {
    verifier.verify(issue().value());
    verifier.verify(issue().value());
    assertThat(pages.requests).hasSize(1);

    server.rotateKey();
    verifier.verify(issue().value());

    assertThat(pages.requests).hasSize(2);
  }

  @Test
  void keysMayBeInAFile(@TempDir Path directory) throws Exception {
    Path file = Files.writeString(directory.resolve("keys.json"), server.jwks());

    verifier(builder -> builder.keysAt(file.toUri())).verify(issue().value());
  }

  @Test
  void onlyCanonicalEncodingIsAccepted() {
    String token = issue().value();
    int last = token.length() - 1; // the last character of 256 octets has four bits that are zero

    assertRejected(verifier, token.substring(0, last) + (char) (token.charAt(last) + 1), "base64url");
    assertRejected(verifier, token.substring(0, last - 9) + "!" + token.substring(last - 9), "base64url");
    assertRejected(verifier, " " + token, "base64url");
  }

  @Test
  void otherIssuerOrAudienceIsRejected() {
    String token = issue().value();

    assertRejected(builder("https://other.example", POOL).build(), token, "iss");
    assertRejected(builder(FakeTokendServer.ISSUER, "another pool").build(), token, "aud");
  }

  @Test
  void otherAlgorithmOrTypeIsRejected() throws Exception {
    String token = issue().value();

    assertRejected(verifier(builder -> builder.algorithms(JWSAlgorithm.ES256)), token, "algorithm");
    assertRejected(verifier(builder -> builder.types("JWT")), token, "type");
    verifier(builder -> builder.algorithms(JWSAlgorithm.RS512).types("JWS")).verify(token);
  }

  @Test
  void leewayExtendsLifetime() throws Exception {
    Token token = issue();
    TokenVerifier strict = verifier(builder -> builder.leeway(Duration.ZERO));

    now = token.expireTime().plusSeconds(59);
    verifier.verify(token.value());
    assertRejected(strict, token.value(), "xpired");
    now = token.expireTime().plusSeconds(61);
    assertRejected(verifier, token.value(), "xpired");
  }

  @Test
  void tokenIssuedInFutureIsRejectedBeyondLeeway() throws Exception {
    String token = issue().value();

    now = NOW.minusSeconds(60);
    verifier.verify(token);
    now = NOW.minusSeconds(61);
    assertRejected(verifier, token, "future");
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."})
  void invalidTokenIsRejected(String token) {
    assertThatExceptionOfType(TokenRejectedException.class).isThrownBy(() -> verifier.verify(token));
  }

  @Test
  void tooLongTokenIsRejected() {
    assertRejected(verifier, "a".repeat(16_385), "16384");
    assertThat(pages.requests).isEmpty();
  }

  @Test
  void alteredTokenIsRejectedAndNotShown() {
    String[] parts = issue().value().split("\\.", -1);
    String altered = parts[0] + "." + parts[1] + "." + parts[2].substring(4) + "AAAA";

    assertThatExceptionOfType(TokenRejectedException.class)
        .isThrownBy(() -> verifier.verify(altered))
        .satisfies(e -> assertThat(e.getMessage()).doesNotContain(parts[1]));
  }

  @Test
  void withoutKeysTokenIsNeitherAcceptedNorRejected() {
    String token = issue().value();
    pages.close();

    assertThatExceptionOfType(KeysUnavailableException.class).isThrownBy(() -> verifier.verify(token));
  }

  @Test
  void invalidSettingsAreRejected() {
    TokenVerifier.Builder builder = builder("issuer", POOL);

    assertThatIllegalArgumentException().isThrownBy(() -> TokenVerifier.builder("issuer"));
    assertThatIllegalArgumentException().isThrownBy(() -> builder.types());
    assertThatIllegalArgumentException().isThrownBy(() -> builder.algorithms());
    assertThatIllegalArgumentException().isThrownBy(() -> builder.algorithms(JWSAlgorithm.HS256));
    for (Duration leeway :
        new Duration[] {Duration.ofSeconds(-1), Duration.ofMillis(1500), Duration.ofMinutes(6)}) {
      assertThatIllegalArgumentException().isThrownBy(() -> builder.leeway(leeway));
    }
    assertThatNullPointerException().isThrownBy(() -> verifier.verify(absent()));
  }

  @SuppressWarnings("NullAway")
  private static String absent() {
    return null;
  }

  @Test
  void discoveryFindsKeys() throws Exception {
    Issuer issuer = new Issuer();
    try (Pages own = issuer.pages()) {
      String url = own.at("").toString();
      TokenVerifier discovering = TokenVerifier.builder(url, POOL).build();

      assertThat(discovering.verify(issuer.token(url, POOL)).identityId()).isEqualTo("us-east-1:someone");
      assertThat(own.requests).containsExactly("/.well-known/openid-configuration", "/some/keys");
    }
  }

  @Test
  void hostOfIssuerMayHaveUnderscore() throws Exception {
    Issuer issuer = new Issuer();
    try (Pages own = issuer.pages()) {
      String url = own.at("tokend_server", "").toString();
      issuer.name = url;

      TokenVerifier.builder(url, POOL).build().verify(issuer.token(url, POOL));
    }
  }

  @Test
  void tokenWithoutTypOrExpIsRejected() throws Exception {
    Issuer issuer = new Issuer();
    try (Pages own = issuer.pages()) {
      String url = own.at("").toString();
      TokenVerifier discovering = TokenVerifier.builder(url, POOL).build();

      assertRejected(discovering, issuer.tokenWithoutType(url, POOL), "typ");
      assertRejected(discovering, issuer.tokenWithoutEnd(url, POOL), "is null");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"null", "[]", "1", "", "{\"alg\": null}", "{\"alg\": \"ES256\", \"kid\": null}"})
  void invalidHeaderIsRejected(String header) {
    assertRejected(verifier, Base64URL.encode(header) + "." + Base64URL.encode("{}") + ".AAAA", "");
  }

  @ParameterizedTest
  @ValueSource(strings = {"[null]", "[1]"})
  void claimListsThatAreNotStringsAreRejected(String texts) throws Exception {
    Issuer issuer = new Issuer();
    try (Pages own = issuer.pages()) {
      String url = own.at("").toString();
      TokenVerifier discovering = TokenVerifier.builder(url, POOL).build();
      Object given = Objects.requireNonNull(JSONObjectUtils.parse("{\"texts\": " + texts + "}").get("texts"));
      Map<String, Object> tags = Map.of("principal_tags", Map.of("team", given));

      assertRejected(discovering, issuer.tokenWithClaim(url, POOL, "amr", given), "");
      assertRejected(discovering, issuer.tokenWithClaim(url, POOL, "https://aws.amazon.com/tags", tags), "");
    }
  }

  @Test
  void discoveryDocumentOfAnotherIssuerIsRejected() throws Exception {
    Issuer issuer = new Issuer();
    issuer.name = "https://other.example";
    try (Pages own = issuer.pages()) {
      String url = own.at("").toString();
      TokenVerifier discovering = TokenVerifier.builder(url, POOL).build();

      assertThatExceptionOfType(KeysUnavailableException.class)
          .isThrownBy(() -> discovering.verify(issuer.token(url, POOL)))
          .havingCause()
          .withMessageContaining("names another issuer");
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{'kty': 'AKP', 'alg': 'ML-DSA-44', 'kid': 'x', 'pub': 'AAAA'}",
        "{'kty': 'EC', 'crv': 'secp256k1', 'kid': 'x', 'x': 'AAAA', 'y': 'AAAA'}",
        "{'kty': 'EC', 'crv': 'P-256', 'kid': 'x', 'x': 'AAAA', 'y': 'AAAA'}",
        "{'kty': 'RSA', 'e': 'AQAB', 'kid': 'x'}",
        "{'kty': 'RSA', 'n': 'AQAB', 'e': 'AQAB', 'kid': ['x']}",
        "{'kid': 'x'}",
        "null",
        "'key'",
        "[]",
        "1",
      })
  void unsupportedKeyIsIgnored(String other) throws Exception {
    Issuer issuer = new Issuer();
    issuer.otherKey = other.replace('\'', '"');
    try (Pages own = issuer.pages()) {
      String url = own.at("").toString();

      TokenVerifier.builder(url, POOL).build().verify(issuer.token(url, POOL));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"null", "[]", "", "{}", "{\"keys\": null}", "{\"keys\": []}", "{\"keys\": [null]}", "{\"keys\": {}}"})
  void invalidKeySetIsRejected(String keySet) throws Exception {
    Issuer issuer = new Issuer();
    issuer.keySet = keySet;
    assertWithoutKeys(issuer);
  }

  @ParameterizedTest
  @ValueSource(strings = {"null", "[]", "", "{}", "{\"issuer\": 1}"})
  void invalidDiscoveryDocumentIsRejected(String document) throws Exception {
    Issuer issuer = new Issuer();
    issuer.document = document;
    assertWithoutKeys(issuer);
  }

  private static void assertWithoutKeys(Issuer issuer) throws Exception {
    try (Pages own = issuer.pages()) {
      String url = own.at("").toString();
      TokenVerifier discovering = TokenVerifier.builder(url, POOL).build();

      assertThatExceptionOfType(KeysUnavailableException.class)
          .isThrownBy(() -> discovering.verify(issuer.token(url, POOL)));
    }
  }

  @ParameterizedTest
  @CsvSource({
    "https://a.example, https://b.example/keys",
    "http://a.example, https://a.example/keys",
    "http://a.example, http://b.example/keys",
    "HTTP://a.example, http://a.example/keys"
  })
  void keysMayBeOnAnotherHost(String issuer, String keys) throws Exception {
    assertThat(IssuerKeys.keysUrl(issuer, Map.of("issuer", issuer, "jwks_uri", keys))).hasToString(keys);
  }

  @ParameterizedTest
  @ValueSource(strings = {"http://a.example/keys", "file:///etc/keys", "ftp://a.example/keys", "/keys", ""})
  void keysOfHttpsIssuerRequireHttps(String keys) {
    String issuer = "https://a.example";

    assertThatExceptionOfType(IOException.class)
        .isThrownBy(() -> IssuerKeys.keysUrl(issuer, Map.of("issuer", issuer, "jwks_uri", keys)))
        .withMessageContaining("from https to http");
  }

  @Test
  void tokensOfUnknownKeysAreRejected() throws Exception {
    Issuer issuer = new Issuer();
    try (Pages own = issuer.pages()) {
      String url = own.at("").toString();
      TokenVerifier discovering = TokenVerifier.builder(url, POOL).build();
      discovering.verify(issuer.token(url, POOL));

      for (int i = 0; i < 5; i++) {
        assertRejected(discovering, issuer.tokenOfAnotherKey(url, POOL, "unknown " + i), "no matching key");
      }
      assertThat(own.requests).hasSize(4);
      discovering.verify(issuer.token(url, POOL));
    }
  }
}

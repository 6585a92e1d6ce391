package tokend.client.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

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
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.Key;
import java.time.Duration;
import java.time.InstantSource;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tokend.client.Token;
import tokend.client.TokenRequest;

/** Signatures, keys and discovery of the fake server. */
class FakeIssuerTest extends ClientOfFakeServer {
  private boolean verifies(String token) throws Exception {
    SignedJWT jwt = SignedJWT.parse(token);
    JWKSet keys = JWKSet.parse(server.jwks());
    return jwt.verify(new RSASSAVerifier(keys.getKeyByKeyId(jwt.getHeader().getKeyID()).toRSAKey()));
  }

  @Test
  void tokensVerifyWithPublishedKeys() throws Exception {
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
  void tokensVerifyAfterKeyRotation() throws Exception {
    Token before = token("alice");
    server.rotateKey();
    Token after = token("alice");

    assertThat(SignedJWT.parse(before.value()).getHeader().getKeyID())
        .isNotEqualTo(SignedJWT.parse(after.value()).getHeader().getKeyID());
    assertThat(verifies(before.value())).isTrue();
    assertThat(verifies(after.value())).isTrue();
  }

  @Test
  void serversOfProcessShareOnlyRsaKeys() {
    InstantSource clock = InstantSource.system();
    try (FakeTokendServer other = FakeTokendServer.start();
        FakeTokendServer elliptic = FakeTokendServer.start(clock, JWSAlgorithm.ES256);
        FakeTokendServer anotherElliptic = FakeTokendServer.start(clock, JWSAlgorithm.ES256)) {
      assertThat(other.jwks()).isEqualTo(server.jwks());
      assertThat(anotherElliptic.jwks()).isNotEqualTo(elliptic.jwks());
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 10})
  void refreshTimesAreWholeSeconds(int seconds) {
    TokenRequest request =
        TokenRequest.builder(POOL).login(PROVIDER, "alice").tokenDuration(Duration.ofSeconds(seconds)).build();

    assertThat(client.getOpenIdTokenForDeveloperIdentity(request).refreshTime()).isEqualTo(NOW.plusSeconds(seconds / 3));
  }

  @ParameterizedTest
  @ValueSource(strings = {"RS512", "RS256", "ES256"})
  void issuerServesDiscoveryAndKeys(String algorithm) throws Exception {
    try (FakeTokendServer other = FakeTokendServer.start(InstantSource.system(), JWSAlgorithm.parse(algorithm))) {
      String url = other.serveIssuer();
      SignedJWT jwt = SignedJWT.parse(other.client().getOpenIdTokenForDeveloperIdentity(request("alice")).value());
      Map<String, Object> discovery = JSONObjectUtils.parse(get(url + "/.well-known/openid-configuration"));
      JWK key = JWKSet.parse(get(String.valueOf(discovery.get("jwks_uri")))).getKeyByKeyId(jwt.getHeader().getKeyID());

      assertThat(discovery).containsEntry("issuer", url);
      assertThat(get(url + "/.well-known/jwks_uri")).isEqualTo(other.jwks());
      assertThat(jwt.getJWTClaimsSet().getIssuer()).isEqualTo(url);
      assertThat(jwt.getHeader().getAlgorithm().getName()).isEqualTo(algorithm);
      JWSVerifier verifier = new DefaultJWSVerifierFactory().createJWSVerifier(jwt.getHeader(), publicKey(key));
      assertThat(jwt.verify(verifier)).isTrue();
      assertThat(other.serveIssuer()).isEqualTo(url);
    }
  }

  @Test
  void unsupportedAlgorithmIsRejected() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> FakeTokendServer.start(InstantSource.system(), JWSAlgorithm.HS256))
        .withMessageContaining("RS512");
  }

  private static Key publicKey(JWK key) throws JOSEException {
    return key instanceof AsymmetricJWK pair ? pair.toPublicKey() : key.toOctetSequenceKey().toSecretKey();
  }

  private static String get(String url) throws IOException, InterruptedException {
    return HttpClient.newHttpClient()
        .send(HttpRequest.newBuilder(URI.create(url)).timeout(TIMEOUT).build(), HttpResponse.BodyHandlers.ofString())
        .body();
  }
}

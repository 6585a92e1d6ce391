package tokend.spring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.assertj.core.util.Throwables;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtException;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import tokend.client.Token;
import tokend.client.TokenRequest;
import tokend.client.testing.FakeTokendServer;
import tokend.verifier.Identity;
import tokend.verifier.TokenVerifier;

class TokendJwtDecoderTest {
  private final FakeTokendServer tokend = FakeTokendServer.start();
  private HttpServer keys;
  private URI keysAt;

  @BeforeEach
  void serve() throws IOException {
    keys = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    keys.createContext(
        "/",
        exchange -> {
          byte[] set = tokend.jwks().getBytes(StandardCharsets.UTF_8);
          exchange.sendResponseHeaders(200, set.length);
          exchange.getResponseBody().write(set);
          exchange.close();
        });
    keys.start();
    keysAt = URI.create("http://127.0.0.1:" + keys.getAddress().getPort() + "/");
  }

  @AfterEach
  void stop() {
    keys.stop(0);
    tokend.close();
  }

  private Token issue() {
    return tokend
        .client()
        .getOpenIdTokenForDeveloperIdentity(
            TokenRequest.builder(FakeTokendServer.IDENTITY_POOL_ID)
                .login(FakeTokendServer.DEVELOPER_PROVIDER_NAME, "alice")
                .principalTag("team", "red")
                .build());
  }

  private TokendJwtDecoder decoder(String pool) {
    return new TokendJwtDecoder(TokenVerifier.builder(FakeTokendServer.ISSUER, pool).keysAt(keysAt).build());
  }

  @Test
  void typJwsIsAcceptedUnlikeByDecoderOfSpring() {
    Token token = issue();

    Jwt jwt = decoder(FakeTokendServer.IDENTITY_POOL_ID).decode(token.value());

    assertThat(jwt.getSubject()).isEqualTo(token.identityId());
    assertThat(jwt.getAudience()).containsExactly(FakeTokendServer.IDENTITY_POOL_ID);
    assertThat(jwt.getExpiresAt()).isEqualTo(token.expireTime());
    assertThat(jwt.getHeaders()).containsEntry("typ", "JWS").containsEntry("alg", "RS512");
    assertThatExceptionOfType(BadJwtException.class)
        .isThrownBy(
            () ->
                NimbusJwtDecoder.withJwkSetUri(keysAt.toString())
                    .jwsAlgorithms(all -> all.add(SignatureAlgorithm.RS512))
                    .build()
                    .decode(token.value()))
        .withMessageContaining("typ");
  }

  @Test
  void convertedIdentityEqualsIdentityOfVerifier() throws Exception {
    Token token = issue();

    Identity identity =
        new JwtIdentityConverter().convert(decoder(FakeTokendServer.IDENTITY_POOL_ID).decode(token.value()));

    assertThat(identity)
        .isEqualTo(
            TokenVerifier.builder(FakeTokendServer.ISSUER, FakeTokendServer.IDENTITY_POOL_ID)
                .keysAt(keysAt)
                .build()
                .verify(token.value()));
    assertThat(identity.principalTags()).isEqualTo(Map.of("team", "red"));
  }

  @Test
  void invalidTokensAreRejectedAndNotShown() {
    String token = issue().value();

    assertThatExceptionOfType(BadJwtException.class).isThrownBy(() -> decoder("another pool").decode(token));
    assertThatExceptionOfType(BadJwtException.class)
        .isThrownBy(() -> decoder(FakeTokendServer.IDENTITY_POOL_ID).decode("no-token"))
        .satisfies(failure -> assertThat(Throwables.getStackTrace(failure)).doesNotContain("no-token"));
  }

  @Test
  void missingKeysDoNotRejectToken() {
    String token = issue().value();
    keys.stop(0);

    assertThatExceptionOfType(JwtException.class)
        .isThrownBy(() -> decoder(FakeTokendServer.IDENTITY_POOL_ID).decode(token))
        .isNotInstanceOf(BadJwtException.class);
  }
}

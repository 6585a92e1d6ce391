package tokend.client.testing;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.factories.DefaultJWSSignerFactory;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.jose.jwk.gen.RSAKeyGenerator;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Signs tokens in Cognito's format. The key exists from the start, since its generation takes longer than a call may.
 */
final class FakeIssuer {
  private static final String TAGS_CLAIM = "https://aws.amazon.com/tags";
  private static final Set<JWSAlgorithm> ALGORITHMS =
      Set.of(JWSAlgorithm.RS512, JWSAlgorithm.RS256, JWSAlgorithm.ES256);

  // The process-wide keys, in the order in which each issuer uses them: tests start many servers.
  private static final List<RSAKey> RSA_KEYS = new ArrayList<>();

  private final JWSAlgorithm algorithm;

  // The last key signs.
  private final List<JWK> keys = new ArrayList<>();
  private String url = FakeTokendServer.ISSUER;
  private @Nullable HttpServer server;

  FakeIssuer(JWSAlgorithm algorithm) {
    if (!ALGORITHMS.contains(algorithm)) {
      throw new IllegalArgumentException("algorithm must be one of RS512, RS256 and ES256");
    }
    this.algorithm = algorithm;
    rotateKey();
  }

  synchronized void rotateKey() {
    try {
      keys.add(newKey());
    } catch (JOSEException e) {
      throw new IllegalStateException("a key cannot be generated", e);
    }
  }

  synchronized String jwks() {
    return new JWKSet(List.copyOf(keys)).toString(true);
  }

  /** Starts serving the discovery document and the keys, once. The URL is the issuer's from then on. */
  synchronized String serve() {
    if (server == null) {
      HttpServer started = listening();
      server = started;
      url = "http://127.0.0.1:" + started.getAddress().getPort();
      publish(started, "/.well-known/openid-configuration", this::discovery);
      publish(started, "/.well-known/jwks.json", this::jwks);
      publish(started, "/.well-known/jwks_uri", this::jwks); // the path of Cognito's keys
      started.start();
    }
    return url;
  }

  synchronized void close() {
    if (server != null) {
      server.stop(0);
    }
  }

  String token(String identityId, String user, Map<String, String> tags, Instant issuedAt, Instant expireTime) {
    JWTClaimsSet.Builder claims =
        new JWTClaimsSet.Builder()
            .subject(identityId)
            .audience(FakeTokendServer.IDENTITY_POOL_ID)
            .claim("amr", authenticationMethods(user))
            .issuer(url())
            .expirationTime(Date.from(expireTime))
            .issueTime(Date.from(issuedAt));
    if (!tags.isEmpty()) {
      Map<String, List<String>> values = new TreeMap<>();
      tags.forEach((name, value) -> values.put(name, List.of(value)));
      claims.claim(TAGS_CLAIM, Map.of("principal_tags", values));
    }
    return sign(claims.build());
  }

  private String sign(JWTClaimsSet claims) {
    JWK key = current();
    JWSHeader header =
        new JWSHeader.Builder(algorithm).keyID(key.getKeyID()).type(new JOSEObjectType("JWS")).build();
    SignedJWT token = new SignedJWT(header, claims);
    try {
      token.sign(new DefaultJWSSignerFactory().createJWSSigner(key, algorithm));
    } catch (JOSEException e) {
      throw new IllegalStateException("the token cannot be signed", e);
    }
    return token.serialize();
  }

  private JWK newKey() throws JOSEException {
    return algorithm.equals(JWSAlgorithm.ES256)
        ? new ECKeyGenerator(Curve.P_256)
            .keyIDFromThumbprint(true)
            .keyUse(KeyUse.SIGNATURE)
            .algorithm(algorithm)
            .generate()
        : new RSAKey.Builder(rsaKey(keys.size())).keyUse(KeyUse.SIGNATURE).algorithm(algorithm).build();
  }

  private static RSAKey rsaKey(int number) throws JOSEException {
    synchronized (RSA_KEYS) {
      while (RSA_KEYS.size() <= number) {
        RSA_KEYS.add(new RSAKeyGenerator(2048).keyIDFromThumbprint(true).generate());
      }
      return RSA_KEYS.get(number);
    }
  }

  private synchronized JWK current() {
    return keys.get(keys.size() - 1);
  }

  private synchronized String url() {
    return url;
  }

  private String discovery() {
    return JSONObjectUtils.toJSONString(
        Map.of(
            "issuer", url(),
            "jwks_uri", url() + "/.well-known/jwks.json",
            "response_types_supported", List.of("id_token"),
            "subject_types_supported", List.of("public"),
            "id_token_signing_alg_values_supported", List.of(algorithm.getName())));
  }

  private static HttpServer listening() {
    try {
      return HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void publish(HttpServer server, String path, Supplier<String> document) {
    server.createContext(
        path,
        exchange -> {
          try (exchange) {
            answer(exchange, document.get().getBytes(StandardCharsets.UTF_8));
          }
        });
  }

  private static void answer(HttpExchange exchange, byte[] body) throws IOException {
    exchange.getResponseHeaders().set("Content-Type", "application/json");
    exchange.sendResponseHeaders(200, body.length);
    exchange.getResponseBody().write(body);
  }

  private static List<String> authenticationMethods(String user) {
    String provider = FakeTokendServer.DEVELOPER_PROVIDER_NAME;
    return List.of("authenticated", provider, provider + ":" + FakeTokendServer.IDENTITY_POOL_ID + ":" + user);
  }
}

package tokend.verifier;

import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.source.JWKSetCacheRefreshEvaluator;
import com.nimbusds.jose.jwk.source.JWKSetRetrievalException;
import com.nimbusds.jose.jwk.source.JWKSetSource;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.JSONObjectUtils;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.text.ParseException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Fetches the keys of an issuer, from a given URL or from the one in its discovery document (OpenID Connect Discovery
 * 1.0, section 4). Caches nothing.
 */
final class IssuerKeys implements JWKSetSource<SecurityContext> {
  private static final String DISCOVERY_PATH = "/.well-known/openid-configuration";
  private static final Duration TIMEOUT = Duration.ofSeconds(3);
  private static final int MAX_BYTES = 1024 * 1024;

  private static final System.Logger LOGGER = System.getLogger("tokend.verifier");

  private final String issuer;
  private final @Nullable URI keysAt;
  private final DocumentClient documents = new DocumentClient(TIMEOUT, MAX_BYTES);
  private volatile boolean failed;

  IssuerKeys(String issuer, @Nullable URI keysAt) {
    this.issuer = issuer;
    this.keysAt = keysAt;
  }

  @Override
  public JWKSet getJWKSet(
      JWKSetCacheRefreshEvaluator evaluator, long currentTime, @Nullable SecurityContext context)
      throws KeySourceException {
    try {
      JWKSet keys = parseKeys(fetch(keysAt != null ? keysAt : discoverKeysUrl()));
      failed = false;
      return keys;
    } catch (IOException | ParseException | IllegalArgumentException e) {
      failed = true;
      LOGGER.log(System.Logger.Level.WARNING, "the keys of {0} cannot be fetched: {1}", issuer, e);
      throw new JWKSetRetrievalException("no keys of " + issuer + ": " + e.getMessage(), e);
    }
  }

  /** Reports whether the last fetch failed. */
  boolean hasFailed() {
    return failed;
  }

  private URI discoverKeysUrl() throws IOException, ParseException {
    return keysUrl(issuer, parseObject(fetch(URI.create(issuer.replaceFirst("/$", "") + DISCOVERY_PATH))));
  }

  /** Returns the URL of the keys in a discovery document. If the issuer's URL is https, it must be https, too. */
  static URI keysUrl(String issuer, Map<String, Object> document) throws IOException, ParseException {
    String named = JSONObjectUtils.getString(document, "issuer");
    if (!issuer.equals(named)) {
      throw new IOException("the discovery document names another issuer: " + named);
    }
    URI keys = JSONObjectUtils.getURI(document, "jwks_uri");
    if (keys == null || !List.of("https", scheme(URI.create(issuer))).contains(scheme(keys))) {
      throw new IOException("the discovery document names no keys, or leads from https to http: " + keys);
    }
    return keys;
  }

  private static String scheme(URI url) {
    return String.valueOf(url.getScheme()).toLowerCase(Locale.ROOT);
  }

  private static Map<String, Object> parseObject(String document) throws ParseException {
    Map<String, Object> parsed = JSONObjectUtils.parse(document);
    if (parsed == null) { // as Nimbus reads `null`
      throw new ParseException("it is not a JSON object", 0);
    }
    return parsed;
  }

  /** Returns all supported keys. Others are ignored, by RFC 7517, section 5. */
  private static JWKSet parseKeys(String document) throws ParseException {
    List<Object> listed = JSONObjectUtils.getJSONArray(parseObject(document), "keys");
    List<JWK> known = new ArrayList<>();
    for (Object each : listed == null ? List.of() : listed) {
      if (each instanceof Map<?, ?> members) {
        parseKey(members).ifPresent(known::add);
      }
    }
    if (known.isEmpty()) {
      throw new ParseException("the key set contains no supported keys", 0);
    }
    return new JWKSet(known);
  }

  private static Optional<JWK> parseKey(Map<?, ?> members) {
    Map<String, Object> named = new HashMap<>();
    members.forEach((name, value) -> named.put(String.valueOf(name), value));
    try {
      return Optional.of(JWK.parse(named));
    } catch (ParseException e) {
      return Optional.empty();
    }
  }

  private String fetch(URI from) throws IOException {
    return "file".equals(scheme(from)) ? Files.readString(Path.of(from)) : documents.get(from);
  }

  @Override
  public void close() {}
}

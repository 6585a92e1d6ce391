package tokend.verifier;

import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.source.JWKSetCacheRefreshEvaluator;
import com.nimbusds.jose.jwk.source.JWKSetRetrievalException;
import com.nimbusds.jose.jwk.source.JWKSetSource;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jose.util.ResourceRetriever;
import java.io.IOException;
import java.net.URI;
import java.text.ParseException;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Fetches the keys of an issuer, from the URL to which its discovery document leads (OpenID Connect Discovery 1.0, section
 * 4) unless it is given. Keeps nothing.
 */
final class IssuerKeys implements JWKSetSource<SecurityContext> {
  private static final String DOCUMENT = "/.well-known/openid-configuration";
  private static final int TIMEOUT_MILLIS = 3000;
  private static final int MOST_BYTES = 1024 * 1024;

  private final String issuer;
  private final @Nullable URI keysAt;
  private final ResourceRetriever retriever = new DefaultResourceRetriever(TIMEOUT_MILLIS, TIMEOUT_MILLIS, MOST_BYTES);

  IssuerKeys(String issuer, @Nullable URI keysAt) {
    this.issuer = issuer;
    this.keysAt = keysAt;
  }

  @Override
  public JWKSet getJWKSet(
      JWKSetCacheRefreshEvaluator evaluator, long currentTime, @Nullable SecurityContext context)
      throws KeySourceException {
    try {
      return JWKSet.parse(fetch(keysAt != null ? keysAt : discovered()));
    } catch (IOException | ParseException | IllegalArgumentException e) {
      throw new JWKSetRetrievalException("no keys of " + issuer + ": " + e.getMessage(), e);
    }
  }

  private URI discovered() throws IOException, ParseException {
    Map<String, Object> found = JSONObjectUtils.parse(fetch(URI.create(issuer.replaceFirst("/$", "") + DOCUMENT)));
    String named = JSONObjectUtils.getString(found, "issuer");
    if (!issuer.equals(named)) {
      throw new IOException("the discovery document is another issuer's: " + named);
    }
    String keys = JSONObjectUtils.getString(found, "jwks_uri");
    if (keys == null) {
      throw new IOException("the discovery document names no jwks_uri");
    }
    return URI.create(keys);
  }

  private String fetch(URI from) throws IOException {
    return retriever.retrieveResource(from.toURL()).getContent();
  }

  @Override
  public void close() {}
}

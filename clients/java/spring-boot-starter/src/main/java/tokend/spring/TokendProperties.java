package tokend.spring;

import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.boot.convert.DurationUnit;
import org.springframework.validation.Errors;
import org.springframework.validation.Validator;

/**
 * The configuration properties. All problems are reported at once, by the names of the properties. A duration without a
 * unit is in seconds.
 *
 * @param target the gRPC target of tokend: HOST:PORT, dns:///HOST:PORT or unix:PATH; without it there is no client
 * @param plaintext whether to disable TLS: for the loopback, for unix sockets, and for a sidecar that adds TLS
 * @param ssl the trusted authorities and the client certificate
 * @param bearerTokenFile the file of the bearer token that authenticates calls; read again for each call
 * @param deadline the deadline of calls, including retries
 * @param keepAlive the keepalive pings that detect dead connections
 * @param cache the settings of token sources and caches
 * @param token the user of the TokenSource bean; without it there is no such bean
 * @param verifier the tokens that the application accepts; without it there is no verifier
 */
@ConfigurationProperties("tokend")
public record TokendProperties(
    @Nullable String target,
    @DefaultValue("false") boolean plaintext,
    @DefaultValue Ssl ssl,
    @Nullable Path bearerTokenFile,
    @DefaultValue("3s") @DurationUnit(ChronoUnit.SECONDS) Duration deadline,
    @DefaultValue KeepAlive keepAlive,
    @DefaultValue Cache cache,
    @Nullable Token token,
    @Nullable Verifier verifier)
    implements Validator {

  /**
   * The trusted authorities and the client certificate.
   *
   * @param bundle the name of an SSL bundle with the trusted authorities and, optionally, the client certificate: that
   *     of its key.alias, or else the first; by default the JVM's authorities are trusted. After a reload of the
   *     bundle, new connections use it
   */
  public record Ssl(@Nullable String bundle) {}

  /**
   * The keepalive pings that detect dead connections.
   *
   * @param time the time without traffic before a ping; at least 10 seconds in gRPC
   * @param timeout how long to wait for the response before the connection is closed
   */
  public record KeepAlive(
      @DefaultValue("30s") @DurationUnit(ChronoUnit.SECONDS) Duration time,
      @DefaultValue("3s") @DurationUnit(ChronoUnit.SECONDS) Duration timeout) {}

  /**
   * The settings of token sources and caches.
   *
   * @param maxUsers the maximum number of users in the TokenCache bean
   * @param skew how long before its expiry a token is no longer returned, at most a tenth of its lifetime
   * @param refreshTimeout the deadline of a refresh, at most the deadline of calls
   */
  public record Cache(
      @DefaultValue("10000") int maxUsers,
      @DefaultValue("60s") @DurationUnit(ChronoUnit.SECONDS) Duration skew,
      @DefaultValue("3s") @DurationUnit(ChronoUnit.SECONDS) Duration refreshTimeout) {}

  /**
   * The user of the TokenSource bean.
   *
   * @param pool the identity pool, as REGION:GUID
   * @param provider the developer provider of the pool
   * @param user the user's identifier at the developer provider; sensitive
   * @param userFile a file with the user's identifier, read at startup, instead of tokend.token.user
   * @param principalTags session tags for the token
   * @param duration the lifetime of a token, in whole seconds; 15 minutes by default
   */
  public record Token(
      @Nullable String pool,
      @Nullable String provider,
      @Nullable String user,
      @Nullable Path userFile,
      @DefaultValue Map<String, String> principalTags,
      @Nullable @DurationUnit(ChronoUnit.SECONDS) Duration duration) {
    @Override
    public String toString() {
      return "Token[pool=%s, provider=%s, user=REDACTED, userFile=%s, principalTags=REDACTED%s, duration=%s]"
          .formatted(pool, provider, userFile, principalTags.keySet(), duration);
    }
  }

  /**
   * The tokens that the application accepts.
   *
   * @param issuer the iss of the tokens and the URL of the issuer's discovery document
   * @param audiences the pools whose tokens are accepted
   * @param algorithms the accepted signature algorithms
   * @param types the accepted values of the header typ
   * @param leeway by how much the clocks may differ, in whole seconds up to 5 minutes
   * @param keysAt the URL of the keys, in place of the one in the issuer's discovery document
   */
  public record Verifier(
      @Nullable String issuer,
      @DefaultValue List<String> audiences,
      @DefaultValue({"RS512", "RS256", "ES256"}) List<String> algorithms,
      @DefaultValue({"JWS", "JWT"}) List<String> types,
      @DefaultValue("60s") @DurationUnit(ChronoUnit.SECONDS) Duration leeway,
      @Nullable URI keysAt) {}

  @Override
  public boolean supports(Class<?> type) {
    return type == TokendProperties.class;
  }

  @Override
  public void validate(Object target, Errors errors) {
    PropertiesValidator.validate((TokendProperties) target, errors);
  }
}

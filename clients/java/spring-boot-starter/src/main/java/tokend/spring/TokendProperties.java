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
 * What can be set. All problems are reported at once, by the names of the properties.
 *
 * @param target where tokend is, as gRPC writes it: HOST:PORT, dns:///HOST:PORT or unix:PATH; without it there is no client
 * @param plaintext whether to speak without TLS: for the loopback, for unix sockets, and for a sidecar that adds TLS
 * @param ssl which certificates to trust and to show
 * @param bearerTokenFile the file of the bearer token that tells tokend who calls; read again at each call
 * @param deadline how long a call may take, with its retries
 * @param keepAlive how connections are found that do not answer any more
 * @param cache how tokens are kept
 * @param token whose token the bean of type TokenSource keeps; without it there is none
 * @param verifier whose tokens the application accepts; without it there is no verifier
 */
@ConfigurationProperties("tokend")
public record TokendProperties(
    @Nullable String target,
    @DefaultValue("false") boolean plaintext,
    @DefaultValue Ssl ssl,
    @Nullable Path bearerTokenFile,
    @DefaultValue("3s") Duration deadline,
    @DefaultValue KeepAlive keepAlive,
    @DefaultValue Cache cache,
    @Nullable Token token,
    @Nullable Verifier verifier)
    implements Validator {

  /**
   * Which certificates to trust and to show.
   *
   * @param bundle the name of an SSL bundle, whose authorities are trusted and whose certificate, if it has one, is shown:
   *     that of its key.alias, or else the first; by default the JVM's authorities are trusted. It is followed when it is
   *     reloaded
   */
  public record Ssl(@Nullable String bundle) {}

  /**
   * How connections are found that do not answer any more.
   *
   * @param time how long a connection is silent before it is pinged; gRPC makes less than 10 seconds into 10
   * @param timeout how long the answer may take
   */
  public record KeepAlive(@DefaultValue("30s") Duration time, @DefaultValue("3s") Duration timeout) {}

  /**
   * How tokens are kept.
   *
   * @param maxUsers how many users the bean of type TokenCache holds
   * @param skew how long before its end a token is no longer handed out, at most a tenth of its life
   * @param refreshTimeout the deadline of a refresh, at most that of calls
   */
  public record Cache(
      @DefaultValue("10000") int maxUsers,
      @DefaultValue("60s") @DurationUnit(ChronoUnit.SECONDS) Duration skew,
      @DefaultValue("3s") Duration refreshTimeout) {}

  /**
   * Whose token the bean of type TokenSource keeps.
   *
   * @param pool the identity pool, as REGION:GUID
   * @param provider the developer provider of the pool
   * @param user the user's identifier at the developer provider; sensitive
   * @param userFile a file that holds the user's identifier, read at start, instead of tokend.token.user
   * @param principalTags session tags for the token
   * @param duration how long a token is to be valid, in whole seconds; 15 minutes by default
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
   * Whose tokens the application accepts.
   *
   * @param issuer the iss of the tokens, a URL that leads to the keys
   * @param audiences the pools whose tokens are accepted
   * @param algorithms the accepted signatures
   * @param types the accepted types of tokens, as in their header typ
   * @param leeway how far the clocks may be apart, in whole seconds up to 5 minutes
   * @param keysAt the URL of the keys, rather than where the issuer's discovery document says
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
    PropertiesProblems.find((TokendProperties) target, errors);
  }
}

package tokend.client;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The input of GetOpenIdTokenForDeveloperIdentity, which identifies a user. Two requests are equal if and only if all
 * their inputs are: they are the keys of {@link TokenCache}.
 *
 * @param identityPoolId the identity pool, as {@code REGION:GUID}
 * @param identityId an identity of the pool to link the logins to; empty: find or create one
 * @param logins provider names to logins: the pool's developer provider with the user's identifier, and public providers
 *     with their ID tokens; the values are sensitive, and not in {@link #toString()}
 * @param principalTags session tags for the token
 * @param tokenDuration the lifetime of the token, in whole seconds; null: 900
 */
public record TokenRequest(
    String identityPoolId,
    String identityId,
    Map<String, String> logins,
    Map<String, String> principalTags,
    @Nullable Duration tokenDuration) {

  /**
   * Creates a request from all inputs, with copies of the maps.
   *
   * @param identityPoolId the identity pool
   * @param identityId an identity, or empty
   * @param logins provider names to logins; sensitive
   * @param principalTags session tags
   * @param tokenDuration whole seconds, or null
   */
  public TokenRequest {
    Objects.requireNonNull(identityPoolId, "identityPoolId");
    Objects.requireNonNull(identityId, "identityId");
    logins = Map.copyOf(Objects.requireNonNull(logins, "logins"));
    principalTags = Map.copyOf(Objects.requireNonNull(principalTags, "principalTags"));
  }

  /**
   * Returns a request for a user of the developer provider, without other inputs.
   *
   * @param identityPoolId the identity pool
   * @param developerProviderName the pool's developer provider
   * @param developerUserIdentifier the user's identifier; sensitive
   * @return the request
   */
  public static TokenRequest of(String identityPoolId, String developerProviderName, String developerUserIdentifier) {
    return builder(identityPoolId).login(developerProviderName, developerUserIdentifier).build();
  }

  /**
   * Returns a builder of a request.
   *
   * @param identityPoolId the identity pool
   * @return a builder
   */
  public static Builder builder(String identityPoolId) {
    return new Builder(identityPoolId);
  }

  @Override
  public String toString() {
    return "TokenRequest[identityPoolId=%s, identityId=%s, logins=REDACTED%s, principalTags=REDACTED%s, tokenDuration=%s]"
        .formatted(identityPoolId, identityId, logins.keySet(), principalTags.keySet(), tokenDuration);
  }

  /** Builds a request. */
  public static final class Builder {
    private final String identityPoolId;
    private final Map<String, String> logins = new HashMap<>();
    private final Map<String, String> principalTags = new HashMap<>();
    private String identityId = "";
    private @Nullable Duration tokenDuration;

    private Builder(String identityPoolId) {
      this.identityPoolId = Objects.requireNonNull(identityPoolId, "identityPoolId");
    }

    /**
     * Links the logins to an identity.
     *
     * @param value the identity id
     * @return this
     */
    public Builder identityId(String value) {
      identityId = Objects.requireNonNull(value, "identityId");
      return this;
    }

    /**
     * Adds a login.
     *
     * @param providerName the developer provider, or a public one
     * @param login the user's identifier, or the ID token of the public provider; sensitive
     * @return this
     */
    public Builder login(String providerName, String login) {
      logins.put(Objects.requireNonNull(providerName, "providerName"), Objects.requireNonNull(login, "login"));
      return this;
    }

    /**
     * Adds a session tag.
     *
     * @param name the tag's name
     * @param value its value
     * @return this
     */
    public Builder principalTag(String name, String value) {
      principalTags.put(Objects.requireNonNull(name, "name"), Objects.requireNonNull(value, "value"));
      return this;
    }

    /**
     * Sets the lifetime of the token.
     *
     * @param value whole seconds, 1 to 86,400
     * @return this
     */
    public Builder tokenDuration(Duration value) {
      tokenDuration = Objects.requireNonNull(value, "tokenDuration");
      return this;
    }

    /**
     * Builds the request.
     *
     * @return the request
     */
    public TokenRequest build() {
      return new TokenRequest(identityPoolId, identityId, logins, principalTags, tokenDuration);
    }
  }
}

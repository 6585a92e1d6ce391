package tokend.client;

import java.util.Objects;

/**
 * The input of LookupDeveloperIdentity. At least one of {@code identityId} and {@code developerUserIdentifier} is needed.
 *
 * @param identityPoolId the identity pool, as {@code REGION:GUID}
 * @param identityId an identity of the pool; empty: not given
 * @param developerUserIdentifier a user of the pool's developer provider; empty: not given; sensitive, and not in {@link
 *     #toString()}
 * @param maxResults the most identifiers to return, 1 to 60; 0: 60
 * @param nextToken where the page before has ended; empty: the first page
 */
public record LookupRequest(
    String identityPoolId, String identityId, String developerUserIdentifier, int maxResults, String nextToken) {

  /**
   * Makes a request of all inputs.
   *
   * @param identityPoolId the identity pool
   * @param identityId an identity of the pool
   * @param developerUserIdentifier a user of the pool's developer provider
   * @param maxResults the most identifiers to return
   * @param nextToken where the page before has ended
   */
  public LookupRequest {
    Objects.requireNonNull(identityPoolId, "identityPoolId");
    Objects.requireNonNull(identityId, "identityId");
    Objects.requireNonNull(developerUserIdentifier, "developerUserIdentifier");
    Objects.requireNonNull(nextToken, "nextToken");
  }

  /**
   * Asks for the users of an identity.
   *
   * @param identityPoolId the identity pool
   * @param identityId the identity
   * @return the request for the first page
   */
  public static LookupRequest ofIdentity(String identityPoolId, String identityId) {
    return new LookupRequest(identityPoolId, identityId, "", 0, "");
  }

  /**
   * Asks for the identity of a user.
   *
   * @param identityPoolId the identity pool
   * @param developerUserIdentifier the user; sensitive
   * @return the request
   */
  public static LookupRequest ofUser(String identityPoolId, String developerUserIdentifier) {
    return new LookupRequest(identityPoolId, "", developerUserIdentifier, 0, "");
  }

  /**
   * Asks the same for another page.
   *
   * @param token the {@link LookupResult#nextToken()} of the page before
   * @return the request for the page after it
   */
  public LookupRequest withNextToken(String token) {
    return new LookupRequest(identityPoolId, identityId, developerUserIdentifier, maxResults, token);
  }

  @Override
  public String toString() {
    return "LookupRequest[identityPoolId=%s, identityId=%s, developerUserIdentifier=REDACTED, maxResults=%d, nextToken=%s]"
        .formatted(identityPoolId, identityId, maxResults, nextToken);
  }
}

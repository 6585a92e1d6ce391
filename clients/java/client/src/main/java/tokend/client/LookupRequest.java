package tokend.client;

import java.util.Objects;

/**
 * The input of LookupDeveloperIdentity. At least one of {@code identityId} and {@code developerUserIdentifier} is needed.
 *
 * @param identityPoolId the identity pool, as {@code REGION:GUID}
 * @param identityId an identity of the pool; empty: not given
 * @param developerUserIdentifier a user of the pool's developer provider; empty: not given; sensitive, and not in {@link
 *     #toString()}
 * @param maxResults the maximum number of identifiers to return, 1 to 60; 0: 60
 * @param nextToken the next token of the previous page; empty: the first page
 */
public record LookupRequest(
    String identityPoolId, String identityId, String developerUserIdentifier, int maxResults, String nextToken) {

  /**
   * Creates a request from all inputs.
   *
   * @param identityPoolId the identity pool
   * @param identityId an identity of the pool
   * @param developerUserIdentifier a user of the pool's developer provider
   * @param maxResults the maximum number of identifiers to return
   * @param nextToken the next token of the previous page
   */
  public LookupRequest {
    Objects.requireNonNull(identityPoolId, "identityPoolId");
    Objects.requireNonNull(identityId, "identityId");
    Objects.requireNonNull(developerUserIdentifier, "developerUserIdentifier");
    Objects.requireNonNull(nextToken, "nextToken");
  }

  /**
   * Returns a request for the users of an identity.
   *
   * @param identityPoolId the identity pool
   * @param identityId the identity
   * @return the request for the first page
   */
  public static LookupRequest ofIdentity(String identityPoolId, String identityId) {
    return new LookupRequest(identityPoolId, identityId, "", 0, "");
  }

  /**
   * Returns a request for the identity of a user.
   *
   * @param identityPoolId the identity pool
   * @param developerUserIdentifier the user; sensitive
   * @return the request
   */
  public static LookupRequest ofUser(String identityPoolId, String developerUserIdentifier) {
    return new LookupRequest(identityPoolId, "", developerUserIdentifier, 0, "");
  }

  /**
   * Returns this request for another page.
   *
   * @param token the {@link LookupResult#nextToken()} of the previous page
   * @return the request for the next page
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

package tokend.client;

import java.util.Objects;

/**
 * The input of UnlinkDeveloperIdentity.
 *
 * @param identityId the identity to unlink from, as {@code REGION:GUID}
 * @param identityPoolId the identity pool, in the same form
 * @param developerProviderName the pool's developer provider
 * @param developerUserIdentifier the user to unlink; sensitive, and not in {@link #toString()}
 */
public record UnlinkRequest(
    String identityId, String identityPoolId, String developerProviderName, String developerUserIdentifier) {

  /**
   * Creates a request from all inputs.
   *
   * @param identityId the identity to unlink from
   * @param identityPoolId the identity pool
   * @param developerProviderName the pool's developer provider
   * @param developerUserIdentifier the user to unlink
   */
  public UnlinkRequest {
    Objects.requireNonNull(identityId, "identityId");
    Objects.requireNonNull(identityPoolId, "identityPoolId");
    Objects.requireNonNull(developerProviderName, "developerProviderName");
    Objects.requireNonNull(developerUserIdentifier, "developerUserIdentifier");
  }

  @Override
  public String toString() {
    return "UnlinkRequest[identityId=%s, identityPoolId=%s, developerProviderName=%s, developerUserIdentifier=REDACTED]"
        .formatted(identityId, identityPoolId, developerProviderName);
  }
}

package tokend.client;

import java.util.Objects;

/**
 * The input of MergeDeveloperIdentities.
 *
 * @param sourceUserIdentifier the user whose identity is disabled; sensitive, and not in {@link #toString()}
 * @param destinationUserIdentifier the user whose identity remains; sensitive, and not in {@link #toString()}
 * @param developerProviderName the pool's developer provider
 * @param identityPoolId the identity pool, as {@code REGION:GUID}
 */
public record MergeRequest(
    String sourceUserIdentifier,
    String destinationUserIdentifier,
    String developerProviderName,
    String identityPoolId) {

  /**
   * Creates a request from all inputs.
   *
   * @param sourceUserIdentifier the user whose identity is disabled
   * @param destinationUserIdentifier the user whose identity remains
   * @param developerProviderName the pool's developer provider
   * @param identityPoolId the identity pool
   */
  public MergeRequest {
    Objects.requireNonNull(sourceUserIdentifier, "sourceUserIdentifier");
    Objects.requireNonNull(destinationUserIdentifier, "destinationUserIdentifier");
    Objects.requireNonNull(developerProviderName, "developerProviderName");
    Objects.requireNonNull(identityPoolId, "identityPoolId");
  }

  @Override
  public String toString() {
    return "MergeRequest[sourceUserIdentifier=REDACTED, destinationUserIdentifier=REDACTED, developerProviderName=%s, identityPoolId=%s]"
        .formatted(developerProviderName, identityPoolId);
  }
}

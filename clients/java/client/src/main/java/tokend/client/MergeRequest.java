package tokend.client;

/**
 * The input of MergeDeveloperIdentities.
 *
 * @param sourceUserIdentifier the user whose identity is given up; sensitive, and not in {@link #toString()}
 * @param destinationUserIdentifier the user whose identity stays; sensitive, and not in {@link #toString()}
 * @param developerProviderName the pool's developer provider
 * @param identityPoolId the identity pool, as {@code REGION:GUID}
 */
public record MergeRequest(
    String sourceUserIdentifier,
    String destinationUserIdentifier,
    String developerProviderName,
    String identityPoolId) {

  @Override
  public String toString() {
    return "MergeRequest[sourceUserIdentifier=REDACTED, destinationUserIdentifier=REDACTED, developerProviderName=%s, identityPoolId=%s]"
        .formatted(developerProviderName, identityPoolId);
  }
}

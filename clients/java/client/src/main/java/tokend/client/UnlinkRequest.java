package tokend.client;

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

  @Override
  public String toString() {
    return "UnlinkRequest[identityId=%s, identityPoolId=%s, developerProviderName=%s, developerUserIdentifier=REDACTED]"
        .formatted(identityId, identityPoolId, developerProviderName);
  }
}

package tokend.client;

import java.util.List;

/**
 * The output of LookupDeveloperIdentity.
 *
 * @param identityId the identity id
 * @param developerUserIdentifiers a page of the identity's users; sensitive, and not in {@link #toString()}
 * @param nextToken requests the next page; empty: there is none
 */
public record LookupResult(String identityId, List<String> developerUserIdentifiers, String nextToken) {

  /**
   * Creates a result with a copy of the list.
   *
   * @param identityId the identity id
   * @param developerUserIdentifiers a page of the identity's users; sensitive
   * @param nextToken requests the next page, or empty
   */
  public LookupResult {
    developerUserIdentifiers = List.copyOf(developerUserIdentifiers);
  }

  @Override
  public String toString() {
    return "LookupResult[identityId=%s, developerUserIdentifiers=REDACTED(%d), nextToken=%s]"
        .formatted(identityId, developerUserIdentifiers.size(), nextToken);
  }
}

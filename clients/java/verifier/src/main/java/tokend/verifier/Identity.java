package tokend.verifier;

import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * The identity of a verified token.
 *
 * @param identityId the user's identity id, as {@code REGION:GUID}: the token's {@code sub}
 * @param identityPoolId the identity pool: the {@code aud} of the token
 * @param issuer who issued the token: its {@code iss}
 * @param authenticationMethods how the user was authenticated: the token's {@code amr}, which contains the user's
 *     identifier at the developer provider; sensitive, and not in {@link #toString()}
 * @param principalTags the session tags of the token; sensitive, and not in {@link #toString()}
 * @param issueTime when the token was issued: its {@code iat}
 * @param expireTime when the token stops being valid: its {@code exp}
 */
public record Identity(
    String identityId,
    String identityPoolId,
    String issuer,
    List<String> authenticationMethods,
    Map<String, String> principalTags,
    Instant issueTime,
    Instant expireTime) {

  /**
   * Creates an identity, with copies of the list and the map.
   *
   * @param identityId the identity id
   * @param identityPoolId the identity pool
   * @param issuer who issued the token
   * @param authenticationMethods how the user was authenticated; sensitive
   * @param principalTags the session tags; sensitive
   * @param issueTime when the token was issued
   * @param expireTime when the token stops being valid
   */
  public Identity {
    authenticationMethods = List.copyOf(authenticationMethods);
    principalTags = Map.copyOf(principalTags);
  }

  @Override
  public String toString() {
    return "Identity[identityId=%s, identityPoolId=%s, issuer=%s, authenticationMethods=REDACTED, principalTags=REDACTED%s, issueTime=%s, expireTime=%s]"
        .formatted(identityId, identityPoolId, issuer, principalTags.keySet(), issueTime, expireTime);
  }
}

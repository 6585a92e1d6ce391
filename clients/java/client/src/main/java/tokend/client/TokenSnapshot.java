package tokend.client;

import java.time.Instant;

/**
 * A token, as tokend issued it. It never changes, so it may be handed around freely.
 *
 * @param identityId the user's identity id, as {@code REGION:GUID}
 * @param token the signed OpenID Connect token, a JWT in compact form; sensitive, and not in {@link #toString()}
 * @param expireTime when the token stops being valid: its {@code exp} claim
 * @param refreshTime when tokend would have the next token fetched; never after {@code expireTime}
 */
public record TokenSnapshot(String identityId, String token, Instant expireTime, Instant refreshTime) {
  @Override
  public String toString() {
    return "TokenSnapshot[identityId=%s, token=REDACTED, expireTime=%s, refreshTime=%s]"
        .formatted(identityId, expireTime, refreshTime);
  }
}

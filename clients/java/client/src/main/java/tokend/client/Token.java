package tokend.client;

import java.time.Instant;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A token issued by tokend. Immutable and safe to share.
 *
 * @param identityId the user's identity id, as {@code REGION:GUID}
 * @param value the signed OpenID Connect token, a JWT in compact form; sensitive, and not in {@link #toString()}
 * @param issueTime when tokend responded, by its own clock; null if the server does not send it
 * @param expireTime when the token stops being valid: its {@code exp} claim
 * @param refreshTime when to fetch the next token; never after {@code expireTime}
 */
public record Token(
    String identityId, String value, @Nullable Instant issueTime, Instant expireTime, Instant refreshTime) {

  /**
   * Creates a token from its parts.
   *
   * @param identityId the identity id
   * @param value the token itself; sensitive
   * @param issueTime when tokend responded, or null
   * @param expireTime when the token stops being valid
   * @param refreshTime when to fetch the next token
   */
  public Token {
    Objects.requireNonNull(identityId, "identityId");
    Objects.requireNonNull(value, "value");
    Objects.requireNonNull(expireTime, "expireTime");
    Objects.requireNonNull(refreshTime, "refreshTime");
  }

  @Override
  public String toString() {
    return "Token[identityId=%s, value=REDACTED, issueTime=%s, expireTime=%s, refreshTime=%s]"
        .formatted(identityId, issueTime, expireTime, refreshTime);
  }
}

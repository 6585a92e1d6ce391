package tokend.verifier;

import java.util.Iterator;
import org.jspecify.annotations.Nullable;

/** The authorization header of a call with a token (RFC 6750, section 2.1). */
final class Authorization {
  /** The response to a caller without a valid token. The reason is only logged. */
  static final String REJECTED = "a valid token is required";

  /** The response to a caller whose token cannot be verified. */
  static final String UNAVAILABLE = "tokens cannot be verified at the moment";

  private static final String SCHEME = "Bearer ";
  private static final System.Logger LOGGER = System.getLogger("tokend.verifier");

  private Authorization() {}

  /** Returns the token in the values of the header, or null unless there is exactly one bearer token. */
  static @Nullable String bearerToken(Iterator<String> values) {
    if (!values.hasNext()) {
      return null;
    }
    String value = values.next();
    if (values.hasNext() || !value.regionMatches(true, 0, SCHEME, 0, SCHEME.length())) {
      return null;
    }
    return value.substring(SCHEME.length()).strip();
  }

  static void log(TokenRejectedException rejection) {
    LOGGER.log(System.Logger.Level.DEBUG, "token rejected: {0}", rejection.getMessage());
  }

  static void log(KeysUnavailableException outage) {
    // Failed fetches are logged as warnings; calls may be far more frequent.
    LOGGER.log(System.Logger.Level.DEBUG, "a token cannot be verified", outage);
  }
}

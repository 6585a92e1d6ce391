package tokend.verifier;

import java.util.Iterator;
import org.jspecify.annotations.Nullable;

/** The header of a call that bears a token (RFC 6750, section 2.1). */
final class Authorization {
  /** The answer to a caller without a valid token; why it is not valid is logged. */
  static final String REJECTED = "a valid token is needed";

  /** The answer to a caller whose token cannot be verified. */
  static final String UNAVAILABLE = "tokens cannot be verified at the moment";

  private static final String SCHEME = "Bearer ";
  private static final System.Logger LOGGER = System.getLogger("tokend.verifier");

  private Authorization() {}

  /** The token of the values of the header, or null where there is not exactly one bearer token. */
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
    // Each fetch that fails is a warning; calls may be many more.
    LOGGER.log(System.Logger.Level.DEBUG, "a token cannot be verified", outage);
  }
}

package tokend.verifier;

/**
 * Thrown if a token can be neither accepted nor rejected, because the issuer's keys are not available. A later attempt
 * may succeed.
 */
public final class KeysUnavailableException extends Exception {
  private static final long serialVersionUID = 1L;

  KeysUnavailableException(String text, Throwable cause) {
    super(text, cause);
  }
}

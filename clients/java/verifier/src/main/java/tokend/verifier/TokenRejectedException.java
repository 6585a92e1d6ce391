package tokend.verifier;

/**
 * Thrown if a token is rejected. The message is the reason, for the service's own log; it contains neither the token
 * nor the user.
 */
public final class TokenRejectedException extends Exception {
  private static final long serialVersionUID = 1L;

  TokenRejectedException(String text) {
    super(text);
  }
}

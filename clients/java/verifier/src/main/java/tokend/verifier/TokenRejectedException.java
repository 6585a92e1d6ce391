package tokend.verifier;

/** A token was rejected. The message says why, for the service's own log; it holds neither the token nor the user. */
public final class TokenRejectedException extends Exception {
  private static final long serialVersionUID = 1L;

  TokenRejectedException(String text) {
    super(text);
  }
}

package tokend.verifier;

/** A token could be neither accepted nor rejected, since the keys of its issuer could not be had. It may pass. */
public final class KeysUnavailableException extends Exception {
  private static final long serialVersionUID = 1L;

  KeysUnavailableException(String text, Throwable cause) {
    super(text, cause);
  }
}

package tokend.client;

/** A response breaks the contract. */
final class ProtocolException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  ProtocolException(String text) {
    super(text);
  }
}

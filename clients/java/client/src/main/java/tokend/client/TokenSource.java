package tokend.client;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** Provides tokens of one user. Thread-safe. */
public interface TokenSource {
  /**
   * Returns a valid token. Without one, it waits for a refresh, which has its own deadline, or until the caller's gRPC
   * context is done.
   *
   * @return the token
   * @throws TokendException when there is no token and the refresh failed
   */
  Token token();

  /**
   * Returns a valid token. Without one, it waits for a refresh.
   *
   * @param timeout the maximum time to wait; other waiting callers are not affected
   * @return the token
   * @throws TokendException when there is no token and the refresh failed, or took longer
   */
  Token token(Duration timeout);

  /**
   * Returns a future of a valid token. Never blocks.
   *
   * @return a future of the token, or of a {@link TokendException}; cancelling it does not affect other waiting callers
   */
  CompletableFuture<Token> tokenAsync();

  /**
   * Drops a token that another service has rejected, if it is still the cached one. The next request then waits for a
   * new token.
   *
   * @param rejected the token
   */
  void invalidate(Token rejected);
}

package tokend.client;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** Gives the token of one user to whoever asks, as often as they like. Safe to use by many threads at once. */
public interface TokenSource {
  /**
   * A token that is valid now. Waits only where there is none, until a refresh ends, which has a deadline of its own, or
   * the caller's gRPC context does.
   *
   * @return the token
   * @throws TokendException when there is no token and the refresh failed
   */
  Token token();

  /**
   * A token that is valid now. Waits only where there is none.
   *
   * @param timeout how long to wait at the longest; giving up takes nothing from others who wait
   * @return the token
   * @throws TokendException when there is no token and the refresh failed, or took longer
   */
  Token token(Duration timeout);

  /**
   * A token that is valid when the future ends. Never blocks.
   *
   * @return ends with the token or with a {@link TokendException}; cancelling it takes nothing from others who wait
   */
  CompletableFuture<Token> tokenAsync();

  /**
   * Drops a token that another service has rejected, if it is still the one that is held: the next who asks waits for a
   * new one.
   *
   * @param rejected the token
   */
  void invalidate(Token rejected);
}

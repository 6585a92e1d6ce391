package tokend.client;

import org.jspecify.annotations.Nullable;

/**
 * Receives the events of a client, to count them with any metrics library. Implementations must be thread-safe and must
 * not block, since threads that request tokens call them. Exceptions are dropped.
 */
public interface ClientMetrics {
  /**
   * A refresh has ended. Not called for a refresh that was cancelled by closing.
   *
   * @param failure why it failed; null if it succeeded
   */
  void refreshed(@Nullable TokendException failure);

  /** A token was returned after its refresh time. */
  void staleToken();

  /**
   * The number of users in caches has changed.
   *
   * @param by the change; negative if users were removed, including evicted ones
   */
  void usersChanged(long by);

  /** A user was evicted from a full cache. */
  void evicted();
}

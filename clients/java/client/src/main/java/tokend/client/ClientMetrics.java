package tokend.client;

import org.jspecify.annotations.Nullable;

/**
 * Gets each event of a client, so that any library can count it. Called by many threads at once, and must not block: a
 * caller of a source may be one of them. What it throws is dropped.
 */
public interface ClientMetrics {
  /**
   * A refresh has ended. One that closing ended is not told.
   *
   * @param failure why it failed; null: it brought a token
   */
  void refreshed(@Nullable TokendException failure);

  /** A token was handed out past its refresh time. */
  void staleToken();

  /**
   * The number of users in caches has changed.
   *
   * @param by how many came, or left where it is negative; those who were evicted have left, too
   */
  void usersChanged(long by);

  /** A user made room in a full cache. */
  void evicted();
}

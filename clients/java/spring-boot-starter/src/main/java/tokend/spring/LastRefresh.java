package tokend.spring;

import org.jspecify.annotations.Nullable;
import tokend.client.ClientMetrics;
import tokend.client.TokendException;

/** Remembers how the last refresh of the client ended. */
final class LastRefresh implements ClientMetrics {
  private volatile @Nullable TokendException failure;

  /** Why the last refresh failed; null: it did not, or there was none. */
  @Nullable TokendException failure() {
    return failure;
  }

  @Override
  public void refreshed(@Nullable TokendException ended) {
    failure = ended;
  }

  @Override
  public void staleToken() {}

  @Override
  public void usersChanged(long by) {}

  @Override
  public void evicted() {}
}

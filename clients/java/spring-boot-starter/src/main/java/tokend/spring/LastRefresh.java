package tokend.spring;

import org.jspecify.annotations.Nullable;
import tokend.client.ClientMetrics;
import tokend.client.TokendException;

/** Records how the last refresh of the client ended. */
final class LastRefresh implements ClientMetrics {
  private volatile @Nullable TokendException failure;

  /** Returns why the last refresh failed; null if it succeeded, or if there was none. */
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

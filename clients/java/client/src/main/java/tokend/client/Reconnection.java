package tokend.client;

import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;

/**
 * Limits gRPC's connection back-off to one second; its default of up to two minutes would prolong an outage. A channel
 * without any connection reconnects every second, even without calls, since sources in back-off make none. A channel
 * that has lost some of its connections reconnects when there are calls.
 */
final class Reconnection {
  private static final long INTERVAL = TimeUnit.SECONDS.toNanos(1);

  private final ManagedChannel channel;
  private final LongSupplier nanoTime;
  private final Executor later;
  private final AtomicLong last;

  /**
   * Creates an instance that does nothing yet.
   *
   * @param later runs its tasks one second later
   */
  Reconnection(ManagedChannel channel, LongSupplier nanoTime, Executor later) {
    this.channel = channel;
    this.nanoTime = nanoTime;
    this.later = later;
    last = new AtomicLong(nanoTime.getAsLong());
  }

  /** Starts an instance on the system's monotonic clock. It works until the channel is shut down. */
  static Reconnection of(ManagedChannel channel) {
    Executor later = CompletableFuture.delayedExecutor(INTERVAL, TimeUnit.NANOSECONDS, Runnable::run);
    Reconnection reconnection = new Reconnection(channel, System::nanoTime, later);
    reconnection.watch();
    return reconnection;
  }

  /** Retries failed connections at once, unless it did so within the last second. */
  void resetBackoff() {
    long now = nanoTime.getAsLong();
    long before = last.get();
    if (now - before >= INTERVAL && last.compareAndSet(before, now)) {
      channel.resetConnectBackoff();
    }
  }

  /** Waits for the channel to fail, and then calls {@link #resetBackoff()} every second until it recovers. */
  void watch() {
    ConnectivityState state = channel.getState(false);
    if (state == ConnectivityState.TRANSIENT_FAILURE) {
      later.execute(
          () -> {
            resetBackoff();
            watch();
          });
    } else if (state != ConnectivityState.SHUTDOWN) {
      channel.notifyWhenStateChanged(state, this::watch);
    }
  }
}

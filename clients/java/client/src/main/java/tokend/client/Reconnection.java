package tokend.client;

import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;

/**
 * Puts a ceiling of a second on gRPC's back-off of connections, which grows to two minutes and would make an outage
 * longer by as much. A channel without any connection tries again every second, whether there are calls or not: who backs
 * off makes none. One that has lost some of its connections tries again when there are calls.
 */
final class Reconnection {
  private static final long CEILING = TimeUnit.SECONDS.toNanos(1);

  private final ManagedChannel channel;
  private final LongSupplier nanoTime;
  private final Executor later;
  private final AtomicLong last;

  /**
   * Makes one that does nothing yet.
   *
   * @param later runs what it gets a second later
   */
  Reconnection(ManagedChannel channel, LongSupplier nanoTime, Executor later) {
    this.channel = channel;
    this.nanoTime = nanoTime;
    this.later = later;
    last = new AtomicLong(nanoTime.getAsLong());
  }

  /** One by the system's monotonic clock, which is at work until the channel is shut down. */
  static Reconnection of(ManagedChannel channel) {
    Executor later = CompletableFuture.delayedExecutor(CEILING, TimeUnit.NANOSECONDS, Runnable::run);
    Reconnection reconnection = new Reconnection(channel, System::nanoTime, later);
    reconnection.watch();
    return reconnection;
  }

  /** Tries at once to connect where that has failed, if this was not done within the last second. */
  void hurry() {
    long now = nanoTime.getAsLong();
    long before = last.get();
    if (now - before >= CEILING && last.compareAndSet(before, now)) {
      channel.resetConnectBackoff();
    }
  }

  /** Waits for the channel to fail, and then hurries every second until it does not. */
  void watch() {
    ConnectivityState state = channel.getState(false);
    if (state == ConnectivityState.TRANSIENT_FAILURE) {
      later.execute(
          () -> {
            hurry();
            watch();
          });
    } else if (state != ConnectivityState.SHUTDOWN) {
      channel.notifyWhenStateChanged(state, this::watch);
    }
  }
}

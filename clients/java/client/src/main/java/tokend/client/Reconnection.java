package tokend.client;

import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;

/**
 * Puts a lower ceiling on gRPC's back-off of connections, which grows to two minutes and would make an outage longer by
 * as much.
 */
final class Reconnection {
  private static final long CEILING = TimeUnit.SECONDS.toNanos(5);

  private final ManagedChannel channel;
  private final LongSupplier nanoTime;
  private final AtomicLong last;

  Reconnection(ManagedChannel channel, LongSupplier nanoTime) {
    this.channel = channel;
    this.nanoTime = nanoTime;
    last = new AtomicLong(nanoTime.getAsLong());
  }

  /** Tries at once to connect, if that has failed, and this was not done a moment ago. */
  void hurry() {
    if (channel.getState(false) != ConnectivityState.TRANSIENT_FAILURE) {
      return;
    }
    long now = nanoTime.getAsLong();
    long before = last.get();
    if (now - before >= CEILING && last.compareAndSet(before, now)) {
      channel.resetConnectBackoff();
    }
  }
}

package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class ReconnectionTest {
  private final Connections connections = new Connections();
  private long nanoTime = Long.MAX_VALUE - 1; // nanoTime may overflow
  private final List<Runnable> later = new ArrayList<>();
  private final Reconnection reconnection = new Reconnection(connections, () -> nanoTime, later::add);

  private static final class Connections extends ManagedChannel {
    ConnectivityState state = ConnectivityState.TRANSIENT_FAILURE;
    int resets;
    @Nullable Runnable watching;

    void change(ConnectivityState to) {
      state = to;
      Runnable callback = watching;
      watching = null;
      if (callback != null) {
        callback.run();
      }
    }

    @Override
    public void notifyWhenStateChanged(ConnectivityState source, Runnable callback) {
      assertThat(source).isEqualTo(state);
      watching = callback;
    }

    @Override
    public ConnectivityState getState(boolean requestConnection) {
      assertThat(requestConnection).isFalse();
      return state;
    }

    @Override
    public void resetConnectBackoff() {
      resets++;
    }

    @Override
    public ManagedChannel shutdown() {
      return this;
    }

    @Override
    public boolean isShutdown() {
      return false;
    }

    @Override
    public boolean isTerminated() {
      return false;
    }

    @Override
    public ManagedChannel shutdownNow() {
      return this;
    }

    @Override
    public boolean awaitTermination(long timeout, TimeUnit unit) {
      return true;
    }

    @Override
    public <Q, R> ClientCall<Q, R> newCall(MethodDescriptor<Q, R> method, CallOptions options) {
      throw new UnsupportedOperationException();
    }

    @Override
    public String authority() {
      return "test";
    }
  }

  private void aSecondPasses() {
    nanoTime += Duration.ofSeconds(1).toNanos();
    List<Runnable> due = List.copyOf(later);
    later.clear();
    due.forEach(Runnable::run);
  }

  @Test
  void failedChannelReconnectsEverySecondWithoutCalls() {
    reconnection.watch();

    for (int second = 1; second <= 100; second++) {
      aSecondPasses();
      assertThat(connections.resets).isEqualTo(second);
    }
  }

  @Test
  void readyChannelIsWatchedWithoutTimer() {
    connections.state = ConnectivityState.READY;
    reconnection.watch();
    assertThat(later).isEmpty();

    connections.change(ConnectivityState.TRANSIENT_FAILURE);
    aSecondPasses();
    assertThat(connections.resets).isEqualTo(1);

    connections.state = ConnectivityState.READY;
    aSecondPasses();
    assertThat(later).isEmpty();
    connections.change(ConnectivityState.TRANSIENT_FAILURE);
    assertThat(later).hasSize(1);
  }

  @Test
  void shutDownChannelIsNotWatched() {
    connections.state = ConnectivityState.SHUTDOWN;
    reconnection.watch();

    assertThat(later).isEmpty();
    assertThat(connections.watching).isNull();
  }

  @Test
  void callsResetBackoffAtMostOncePerSecond() {
    reconnection.resetBackoff();
    assertThat(connections.resets).isZero();
    nanoTime += Duration.ofSeconds(1).toNanos();
    reconnection.resetBackoff();
    reconnection.resetBackoff();
    assertThat(connections.resets).isEqualTo(1);
    nanoTime += Duration.ofSeconds(1).toNanos() - 1;
    reconnection.resetBackoff();
    assertThat(connections.resets).isEqualTo(1);
    nanoTime += 1;
    reconnection.resetBackoff();
    assertThat(connections.resets).isEqualTo(2);
  }
}

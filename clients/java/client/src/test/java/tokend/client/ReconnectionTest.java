package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class ReconnectionTest {
  private final Connections connections = new Connections();
  private long nanoTime = Long.MAX_VALUE - 1; // nanoTime may overflow
  private final Reconnection reconnection = new Reconnection(connections, () -> nanoTime);

  private static final class Connections extends ManagedChannel {
    ConnectivityState state = ConnectivityState.TRANSIENT_FAILURE;
    int resets;

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

  @Test
  void aFailedConnectionIsTriedAgainEveryFiveSecondsAtMost() {
    reconnection.hurry();
    assertThat(connections.resets).isZero();
    nanoTime += Duration.ofSeconds(5).toNanos();
    reconnection.hurry();
    reconnection.hurry();
    assertThat(connections.resets).isEqualTo(1);
    nanoTime += Duration.ofSeconds(5).toNanos() - 1;
    reconnection.hurry();
    assertThat(connections.resets).isEqualTo(1);
    nanoTime += 1;
    reconnection.hurry();
    assertThat(connections.resets).isEqualTo(2);
  }

  @Test
  void aConnectionThatHasNotFailedIsLeftAlone() {
    connections.state = ConnectivityState.CONNECTING;
    nanoTime += Duration.ofMinutes(1).toNanos();

    reconnection.hurry();

    assertThat(connections.resets).isZero();
  }
}

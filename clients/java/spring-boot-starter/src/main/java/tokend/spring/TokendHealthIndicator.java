package tokend.spring;

import io.grpc.ConnectivityState;
import org.springframework.boot.health.contributor.AbstractHealthIndicator;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.Status;
import tokend.client.Client;
import tokend.client.TokendException;

/**
 * Reports whether tokend is reachable, by the state of the client's connections, which watch the health of their
 * replicas. A probe makes no call; the first one connects the client, and the health is UNKNOWN until it is connected.
 */
final class TokendHealthIndicator extends AbstractHealthIndicator {
  private final Client client;
  private final LastRefresh lastRefresh;

  TokendHealthIndicator(Client client, LastRefresh lastRefresh) {
    super("the state of the connections to tokend is not available");
    this.client = client;
    this.lastRefresh = lastRefresh;
  }

  @Override
  protected void doHealthCheck(Health.Builder builder) {
    ConnectivityState state = client.connectivity();
    builder.status(status(state)).withDetail("connection", state);
    TokendException failure = lastRefresh.failure();
    if (failure != null) {
      // The message contains no secret.
      builder.withDetail("lastRefresh", String.valueOf(failure.getMessage()));
    }
  }

  private static Status status(ConnectivityState state) {
    return switch (state) {
      case READY -> Status.UP;
      case IDLE, CONNECTING -> Status.UNKNOWN;
      case TRANSIENT_FAILURE, SHUTDOWN -> Status.DOWN;
    };
  }
}

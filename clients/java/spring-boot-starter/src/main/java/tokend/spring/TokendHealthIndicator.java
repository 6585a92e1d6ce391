package tokend.spring;

import io.grpc.ConnectivityState;
import org.springframework.boot.health.contributor.AbstractHealthIndicator;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.Status;
import tokend.client.Client;
import tokend.client.TokendException;

/**
 * Tells whether tokend can be reached, by what the client knows: connections watch the health of their replica. A probe
 * calls nothing; the first one has the client connect, and is UNKNOWN until it has.
 */
final class TokendHealthIndicator extends AbstractHealthIndicator {
  private final Client client;
  private final LastRefresh lastRefresh;

  TokendHealthIndicator(Client client, LastRefresh lastRefresh) {
    super("the state of the connections to tokend cannot be had");
    this.client = client;
    this.lastRefresh = lastRefresh;
  }

  @Override
  protected void doHealthCheck(Health.Builder builder) {
    ConnectivityState state = client.connectivity();
    builder.status(status(state)).withDetail("connection", state);
    TokendException failure = lastRefresh.failure();
    if (failure != null) {
      // The message holds no secret.
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

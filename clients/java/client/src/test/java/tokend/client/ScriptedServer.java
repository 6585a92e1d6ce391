package tokend.client;

import io.grpc.BindableService;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import java.io.IOException;
import java.time.Duration;
import java.util.UUID;
import tokend.v1.DeveloperIdentityServiceGrpc;

/** An in-process server of a {@link ScriptedService}. */
final class ScriptedServer {
  static final Duration TIMEOUT = Duration.ofMinutes(1);

  final ScriptedService service = new ScriptedService();
  final HealthStatusManager health = new HealthStatusManager();
  final String name = UUID.randomUUID().toString();

  private final Server server;

  ScriptedServer() throws IOException {
    server = with(InProcessServerBuilder.forName(name), service, health).build().start();
  }

  static ServerBuilder<?> with(ServerBuilder<?> builder, BindableService service, HealthStatusManager health) {
    health.setStatus(DeveloperIdentityServiceGrpc.SERVICE_NAME, ServingStatus.SERVING);
    return builder.addService(service).addService(health.getHealthService());
  }

  /** A client with a deadline that is long enough for any call on a busy machine. */
  ClientBuilder client() {
    return clientWithDefaults().deadline(TIMEOUT);
  }

  ClientBuilder clientWithDefaults() {
    return Client.builder(name).transport((target, credentials) -> InProcessChannelBuilder.forName(target));
  }

  void stop() throws InterruptedException {
    server.shutdownNow().awaitTermination();
  }
}

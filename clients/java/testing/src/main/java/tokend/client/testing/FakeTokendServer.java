package tokend.client.testing;

import com.nimbusds.jose.JWSAlgorithm;
import io.grpc.ChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Server;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.time.InstantSource;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.BiFunction;
import tokend.client.Client;
import tokend.client.ClientBuilder;
import tokend.v1.DeveloperIdentityServiceGrpc;

/**
 * A tokend within the process. It registers or retrieves identities, looks them up, merges and unlinks them, signs real
 * tokens, and fails or hangs as a test sets it. It opens no port but for {@link #serveIssuer()}, keeps nothing, and knows
 * one pool and developer users alone: logins of public providers are refused. The servers of a process sign with the same
 * RSA keys, since making one takes a while; a key for ES256 is the server's own.
 */
public final class FakeTokendServer implements AutoCloseable {
  /** The pool. */
  public static final String IDENTITY_POOL_ID = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21";

  /** The pool's developer provider. */
  public static final String DEVELOPER_PROVIDER_NAME = "login.example.internal";

  /** The {@code iss} of its tokens until {@link #serveIssuer()}. Nothing is served there. */
  public static final String ISSUER = "https://tokend.example.internal";

  private final String name = UUID.randomUUID().toString();
  private final FakeIssuer issuer;
  private final FakeFailures failures = new FakeFailures();
  private final List<Client> clients = new CopyOnWriteArrayList<>();
  private final Server server;

  private FakeTokendServer(InstantSource clock, JWSAlgorithm algorithm) {
    issuer = new FakeIssuer(algorithm);
    HealthStatusManager health = new HealthStatusManager();
    health.setStatus(DeveloperIdentityServiceGrpc.SERVICE_NAME, ServingStatus.SERVING);
    server =
        InProcessServerBuilder.forName(name)
            .addService(new FakeService(issuer, clock))
            .addService(health.getHealthService())
            .intercept(failures)
            .build();
  }

  /**
   * Starts a server.
   *
   * @return the server, to be closed
   */
  public static FakeTokendServer start() {
    return start(InstantSource.system());
  }

  /**
   * Starts a server whose tokens have the times of a clock.
   *
   * @param clock the clock
   * @return the server, to be closed
   */
  public static FakeTokendServer start(InstantSource clock) {
    return start(clock, JWSAlgorithm.RS512);
  }

  /**
   * Starts a server that signs by another algorithm than tokend does by default.
   *
   * @param clock the clock of the tokens' times
   * @param algorithm {@code RS512}, {@code RS256} or {@code ES256}
   * @return the server, to be closed
   */
  public static FakeTokendServer start(InstantSource clock, JWSAlgorithm algorithm) {
    FakeTokendServer started = new FakeTokendServer(clock, algorithm);
    try {
      started.server.start();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return started;
  }

  /**
   * Makes a client of the server. Its calls have a minute, since machines that run tests are busy.
   *
   * @return the client, which closes with the server
   */
  public Client client() {
    Client client = clientBuilder().deadline(Duration.ofMinutes(1)).build();
    clients.add(client);
    return client;
  }

  /**
   * Starts a client of the server with settings of its own.
   *
   * @return the builder; who builds the client closes it
   */
  public ClientBuilder clientBuilder() {
    return Client.builder(name).transport(transport());
  }

  /**
   * Gives what leads to the server whatever the target of the client is: for {@link ClientBuilder#transport} where something
   * else makes the builder, such as the Spring Boot starter.
   *
   * @return the transport
   */
  public BiFunction<String, ChannelCredentials, ManagedChannelBuilder<?>> transport() {
    return (target, credentials) -> InProcessChannelBuilder.forName(name);
  }

  /**
   * Makes all calls fail from now on. The client retries those that fail with UNAVAILABLE.
   *
   * @param failure how they fail
   */
  public void fail(Failure failure) {
    failures.fail(failure);
  }

  /**
   * Makes one call fail: the next that comes, or the one after those that are to fail already.
   *
   * @param failure how it fails
   */
  public void failNext(Failure failure) {
    failures.failNext(failure);
  }

  /** Lets calls succeed again. */
  public void recover() {
    failures.recover();
  }

  /**
   * Counts the calls that came, with those that failed and the retries.
   *
   * @param operation the name of the operation in the contract, such as {@code LookupDeveloperIdentity}
   * @return how many
   */
  public int calls(String operation) {
    return failures.calls(operation);
  }

  /**
   * Waits until so many calls have come.
   *
   * @param operation the name of the operation in the contract
   * @param count how many, from the server's start
   * @param timeout how long at the most
   * @throws InterruptedException the thread was interrupted
   * @throws AssertionError they did not come in time
   */
  public void waitForCalls(String operation, int count, Duration timeout) throws InterruptedException {
    failures.waitForCalls(operation, count, timeout);
  }

  /** Lets the calls that come from now on wait until {@link #resume()}. */
  public void pause() {
    failures.pause();
  }

  /** Answers the calls that wait, and those that come. */
  public void resume() {
    failures.resume();
  }

  /**
   * Serves the issuer's discovery document and keys on the loopback, for verifiers.
   *
   * @return the URL, which is the {@code iss} of tokens from now on
   */
  public String serveIssuer() {
    return issuer.serve();
  }

  /** Signs with a new key from now on; the keys before stay published. */
  public void rotateKey() {
    issuer.rotateKey();
  }

  /**
   * The public keys.
   *
   * @return a JWK set (RFC 7517) in JSON
   */
  public String jwks() {
    return issuer.jwks();
  }

  /** Stops the server, and closes the clients that it made. */
  @Override
  public void close() {
    clients.forEach(Client::close);
    failures.close();
    server.shutdownNow();
    issuer.close();
  }
}

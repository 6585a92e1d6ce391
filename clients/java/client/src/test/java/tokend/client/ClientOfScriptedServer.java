package tokend.client;

import com.google.protobuf.Timestamp;
import java.io.IOException;
import java.time.Instant;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityResponse;

/** Base class of tests of a client: a {@link ScriptedServer} and its client. */
abstract class ClientOfScriptedServer {
  static final TokenRequest ALICE = TokenRequest.of("pool", "provider", "alice");

  static final CachingPolicy PATIENT =
      CachingPolicy.defaults().withRefreshTimeout(ScriptedServer.TIMEOUT);

  static final GetOpenIdTokenForDeveloperIdentityResponse RESPONSE =
      GetOpenIdTokenForDeveloperIdentityResponse.newBuilder()
          .setIdentityId("pool:1")
          .setToken("jwt")
          .setIssueTime(Timestamp.newBuilder().setSeconds(7))
          .setExpireTime(Timestamp.newBuilder().setSeconds(900).setNanos(5_000_000))
          .setRefreshTime(Timestamp.newBuilder().setSeconds(450))
          .build();

  static final Token TOKEN =
      new Token(
          "pool:1", "jwt", Instant.ofEpochSecond(7), Instant.ofEpochMilli(900_005), Instant.ofEpochSecond(450));

  ScriptedServer server;
  Client client;

  @BeforeEach
  void start() throws IOException {
    server = new ScriptedServer();
    client = server.client().build();
  }

  @AfterEach
  void stop() throws InterruptedException {
    client.close();
    server.stop();
  }
}
